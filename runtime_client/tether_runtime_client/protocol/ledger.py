"""What a runtime client has accepted, numbered and not yet had acknowledged. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .frames import EpochRange

Verdict = Literal["new", "running", "ended"]


@dataclass(slots=True)
class Ledger:
    """One epoch's numbers and ids. The journal keeps the events themselves.

    An action id is known from its acceptance until its final event is acknowledged. Whoever
    records an event writes it under `next_seq` first, and tells the ledger when that is done:
    a number is never taken by an event that was not written.
    """

    epoch: str
    last_seq: int = 0
    acknowledged: int = 0
    _running: dict[str, None] = field(default_factory=dict)
    _ended: dict[str, int] = field(default_factory=dict)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of accepted actions without a final event, in the order of their acceptance."""
        return tuple(self._running)

    @property
    def ended(self) -> dict[str, int]:
        """Ids of ended actions, and the numbers of their final events: not acknowledged yet."""
        return dict(self._ended)

    @property
    def next_seq(self) -> int:
        """The number of the next event; gap-free from 1."""
        return self.last_seq + 1

    def verdict(self, action_id: str) -> Verdict:
        """What a submitted id is; only "new" is to be run."""
        if action_id in self._running:
            return "running"
        return "ended" if action_id in self._ended else "new"

    def record(self) -> int:
        """The next number is taken: its event was written. Returns it."""
        self.last_seq += 1
        return self.last_seq

    def begin(self, action_id: str) -> None:
        """The action's acceptance was written."""
        self._running[action_id] = None

    def end(self, action_id: str, seq: int) -> None:
        """The action's final event was written as number `seq`."""
        self._running.pop(action_id, None)
        self._ended.pop(action_id, None)
        self._ended[action_id] = seq

    def acknowledge(self, epoch: str, seq: int) -> bool:
        """Take an acknowledgement; False when it is about another epoch or claims too much."""
        if epoch != self.epoch or seq > self.last_seq:
            return False
        self.acknowledged = max(self.acknowledged, seq)
        while self._ended:
            action_id, final = next(iter(self._ended.items()))
            if final > self.acknowledged:
                break
            del self._ended[action_id]
        return True

    def successor(self, epoch: str) -> Ledger:
        """A ledger that numbers from 1 again, for the same running actions."""
        return Ledger(epoch, _running=dict(self._running))

    def outstanding(self) -> EpochRange:
        """The range of this epoch that is not acknowledged (first > last when there is none)."""
        return EpochRange(epoch=self.epoch, first=self.acknowledged + 1, last=self.last_seq)
