"""Which unanswered actions a client may have had, when it is met again: they never run twice."""

from __future__ import annotations

from collections.abc import Collection

from tether_runtime_client.protocol.events import HistoryGap
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    WelcomeFrame,
    encode,
)


class Doubt:
    """Decides over ids only: what to send again, and what is lost. No I/O.

    `accepted` are those that the client is known to have had, `unsent` those that it cannot have.
    """

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.unsent: set[str] = set()
        self._epoch = ""
        self._unknown: set[str] = set()
        self._something_is_gone = False

    def meet(self, welcome: WelcomeFrame, unanswered: Collection[str], *, gaps: bool) -> set[str]:
        """A client's welcome: what can be sent again at once. `decide` follows its replay."""
        self._unknown = set(unanswered) - set(welcome.running)
        self._something_is_gone = gaps
        same = welcome.epoch == self._epoch
        self._epoch = welcome.epoch
        return self._sendable() if same and not gaps else set()

    def note_gap(self) -> None:
        """A part of its history is gone: it may have had anything in it that was sent."""
        self._something_is_gone = True

    def decide(self) -> tuple[set[str], set[str]]:
        """The replay is over: what to send again, and what is lost unless it has ended."""
        sendable = self._sendable()
        lost, self._unknown = self._unknown, set()
        return sendable, lost

    def forget(self, action_id: str) -> None:
        """It has its answer."""
        self.accepted.discard(action_id)
        self.unsent.discard(action_id)

    def _sendable(self) -> set[str]:
        unsent = self.unsent if self._something_is_gone else self._unknown - self.accepted
        sendable = self._unknown & unsent
        self._unknown -= sendable
        self.unsent -= sendable
        return sendable


def second_end(frame: ObservationFrame) -> tuple[EventFrame, bytes]:
    """What stands for an observation of an action that has had its own before."""
    ended = frame.observation.action_id
    reason = f"the sandbox told of another end of action {ended}: it was set back"
    gap = HistoryGap(epoch=frame.epoch, first=frame.seq, last=frame.seq, reason=reason)
    instead = EventFrame(epoch=frame.epoch, seq=frame.seq, event=gap)
    return instead, encode(instead)
