"""What a link tells its owner, and how a sandbox ends for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tether_runtime_client.protocol.errors import (
    ProtocolError,
    SandboxGone,
    SecretExpired,
)
from tether_runtime_client.protocol.events import SandboxStopCause
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    StoredEvent,
    WelcomeFrame,
)
from tether_runtime_client.protocol.server_side import Gap

from .transports.base import NotTheClient

START_AGAIN = "Start its container again: this server goes on by itself then"

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

    @property
    def gone(self) -> SandboxGone:
        """The error for what is asked of it now; one that is down may be started again."""
        here = self.stage != "gone"
        return SandboxGone(
            f"the sandbox {'does not run' if here else 'is gone'}: {self.reason}",
            hint=START_AGAIN if here else None,
            cause=self.cause,
            exit_code=self.exit_code,
        )


class Obstacles:
    """What keeps a connection from being made anew during one outage, as far as it is strange.

    That nothing answers is no news: the sandbox may be starting, or the network be gone.
    """

    _MOST = 10

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def met(self, problem: OSError | ProtocolError) -> None:
        """An attempt failed of this."""
        if isinstance(problem, OSError) and not isinstance(problem, NotTheClient):
            return
        reason = str(problem)[:1000]
        if reason not in self._told and len(self._told) < self._MOST:
            self._told.add(reason)
            self._tell(reason)


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

    def on_trouble(self, reason: str) -> None:
        """Something that is not the client is in its place: each reason once an outage."""

    def on_interrupted(self, ended: Ended) -> None:
        """All that ran has ended, and the sandbox is or can be started again: once an outage."""

    def on_down(self, ended: Ended) -> None:
        """It does not run, told after every look."""

    def on_ended(self, ended: Ended) -> None:
        """There will be no more connection: the sandbox is gone, or is another server's now."""
