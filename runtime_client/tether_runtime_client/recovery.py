"""What earlier lives of the client left behind: events to replay, and actions that were lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from .journal import Journal
from .protocol.frames import EpochRange
from .protocol.limits import CONTENT_LIMIT


@dataclass(slots=True)
class LostAction:
    """An action that had been accepted and not ended when its client died."""

    action_id: str
    kind: str
    partial: str = ""


@dataclass(slots=True)
class EarlierEpoch:
    """One earlier life: the frames still in the journal, in order."""

    epoch: str
    first: int = 0
    last: int = 0
    frames: list[bytes] = field(default_factory=list)

    def range(self) -> EpochRange:
        """What of this epoch can be replayed."""
        return EpochRange(epoch=self.epoch, first=self.first, last=self.last)

    def after(self, seq: int) -> list[bytes]:
        """The frames numbered above `seq`."""
        return self.frames[max(0, seq - self.first + 1) :]


@dataclass(slots=True)
class Recovered:
    """All of it. Small on any healthy day: a controller acknowledges within a moment."""

    epochs: dict[str, EarlierEpoch] = field(default_factory=dict)
    lost: dict[str, LostAction] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    """Ids of actions that ended, and the epoch that has their final event."""

    def forget(self, epoch: str) -> None:
        """The controller has all of this epoch."""
        self.epochs.pop(epoch, None)
        self.ended = {i: e for i, e in self.ended.items() if e != epoch}


def recover(journal: Journal) -> Recovered:
    """Read what is left of earlier epochs; a torn last line is dropped."""
    found = Recovered()
    for epoch, lines in journal.earlier():
        header = from_json(lines[0])
        span = found.epochs.setdefault(epoch, EarlierEpoch(epoch, first=header["first"]))
        span.last = max(span.last, header["first"] - 1)
        for action_id, kind in header["running"].items():
            found.lost.setdefault(action_id, LostAction(action_id, kind))
        for line in lines[1:]:
            span.frames.append(line)
            span.last += 1
            _note(found, from_json(line))
    return found


def _note(found: Recovered, frame: dict[str, Any]) -> None:
    if frame["type"] == "observation":
        action_id = frame["observation"].get("action_id")
        found.lost.pop(action_id, None)
        found.ended[action_id] = frame["epoch"]
        return
    event = frame["event"]
    action_id = event.get("action_id")
    if event["event"] == "accepted":
        found.lost[action_id] = LostAction(action_id, event["kind"])
    elif event["event"] == "output" and action_id in found.lost:
        action = found.lost[action_id]
        action.partial = (action.partial + event["content"])[-CONTENT_LIMIT:]
