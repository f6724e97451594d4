"""What all observations have in common."""

from __future__ import annotations

from .events import Event


class Observation(Event):
    """The base of all observations; `observation` is the tag on the wire."""

    observation: str
