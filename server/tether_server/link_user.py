"""What a link tells its owner, and how a sandbox ends for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from tether_runtime_client.protocol.errors import SecretExpired
from tether_runtime_client.protocol.events import SandboxStopCause
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    StoredEvent,
    WelcomeFrame,
)
from tether_runtime_client.protocol.server_side import Gap

Stage = Literal["gone", "down", "restarted"]
"""How far an end went: for good; it may be started again; it was, and runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The sandbox has ended, and how; `fenced` when it lives on and takes this server no more.

    `refusal` is what it said then, if that was not that another server has it.
    """

    reason: str
    exit_code: int | None = None
    cause: SandboxStopCause = "unknown"
    fenced: bool = False
    refusal: SecretExpired | None = None
    stage: Stage = "gone"


class LinkUser(Protocol):
    """What a link tells its owner, always on the loop."""

    def progress(self) -> dict[str, int]:
        """Per epoch the last event stored."""

    def newest(self) -> StoredEvent | None:
        """The last of them all."""

    async def writable(self) -> None:
        """Return when events can be stored; before that no connection is made anew."""

    def on_connected(self, welcome: WelcomeFrame, outage_s: float) -> None:
        """Attached; replay follows. Submit again what has no answer yet."""

    def on_caught_up(self) -> None:
        """Everything the welcome announced has come."""

    def on_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> None:
        """The next numbered frame; each comes once, in order."""

    def on_rejected(self, frame: RejectedFrame) -> None:
        """A submission was not accepted."""

    def on_gap(self, gap: Gap) -> None:
        """Events that cannot be had; told before the `on_connected` of a connection."""

    def on_disconnected(self, reason: str) -> None:
        """The connection went; it is being made anew."""

    def on_interrupted(self, ended: Ended) -> None:
        """All that ran has ended, and the sandbox is or can be started again: once an outage."""

    def on_down(self, ended: Ended) -> None:
        """It does not run, told after every look."""

    def on_ended(self, ended: Ended) -> None:
        """There will be no more connection: the sandbox is gone, or is another server's now."""
