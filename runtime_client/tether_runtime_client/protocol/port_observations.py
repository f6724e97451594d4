"""What port actions come to."""

from __future__ import annotations

from typing import Literal

from .observation import Observation
from .port_actions import PortNumber


class PortReadyObservation(Observation):
    """The lease may be had now, with this ticket. `port` is the one that is listened on inside."""

    observation: Literal["port_ready"] = "port_ready"
    ticket: str
    port: PortNumber | None = None
