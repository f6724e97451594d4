"""What all observations have in common."""

from __future__ import annotations

from .event import Event


class Observation(Event):
    """The base of all observations; `observation` is the tag on the wire."""

    observation: str
