"""What earlier lives of the client left behind: events to replay, and actions that were lost."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .journal import Journal
from .protocol.events import HistoryGap
from .protocol.frames import EpochRange
from .protocol.limits import CONTENT_LIMIT, MAX_EPOCHS
from .segment import MAX_HOLE, Segment, number_of, parse, read_header

KEEP_EMPTY = 16
"""Lives that came to nothing but their start: as many are kept."""


class LostAction:
    """An action that had been accepted and not ended when its client died."""

    def __init__(self, action_id: str, kind: str) -> None:
        self.action_id = action_id
        self.kind = kind
        self._pieces: deque[str] = deque()
        self._length = 0

    def add(self, output: str) -> None:
        """Take output it had sent; the newest is kept."""
        self._pieces.append(output)
        self._length += len(output)
        while self._length - len(self._pieces[0]) >= CONTENT_LIMIT:
            self._length -= len(self._pieces.popleft())

    @property
    def partial(self) -> str:
        """The last of its output, both streams of an exec in the order they came."""
        return "".join(self._pieces)[-CONTENT_LIMIT:]


@dataclass(slots=True)
class Recovered:
    """All of it. The events themselves stay in the journal."""

    epochs: dict[str, EpochRange] = field(default_factory=dict)
    """What of each earlier epoch can be replayed, oldest first."""

    lost: dict[str, LostAction] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    """Ids of actions that ended, and the epoch that has their final event."""

    gaps: dict[str, HistoryGap] = field(default_factory=dict)
    """What else is gone, at most one an epoch."""

    def forget(self, epoch: str) -> None:
        """The controller has all of this epoch."""
        self.epochs.pop(epoch, None)
        self.ended = {i: e for i, e in self.ended.items() if e != epoch}


def recover(journal: Journal) -> Recovered:
    """Read what is left of earlier epochs, and find out where each of their segments ends."""
    found = Recovered()
    for epoch in journal.damaged:
        _note_gap(found, epoch, "a file of the journal was damaged")
    before: Segment | None = None
    for segment in list(journal.earlier()):
        if before is not None and before.epoch == segment.epoch:
            _join(journal, found, before, segment)
        try:
            _scan(found, segment)
        except OSError:  # it was readable a moment ago: somebody is at work there
            _note_gap(found, segment.epoch, "a file of the journal cannot be read")
        known = found.epochs.get(segment.epoch)
        first = known.first if known else segment.first
        span = EpochRange(epoch=segment.epoch, first=first, last=segment.last)
        found.epochs[segment.epoch] = span
        before = segment
    _drop_needless(journal, found)
    return found


def _join(journal: Journal, found: Recovered, before: Segment, segment: Segment) -> None:
    """Segments of one epoch follow each other. Where some are missing, a few numbers are told
    one by one, and many by letting go of all that was before them.
    """
    if segment.first - before.last - 1 <= MAX_HOLE:
        before.last = max(before.last, segment.first - 1)
        return
    journal.drop_epoch(before.epoch, before=segment)
    del found.epochs[before.epoch]
    for action_id in [i for i, epoch in found.ended.items() if epoch == before.epoch]:
        del found.ended[action_id]
        found.lost[action_id] = LostAction(action_id, "finished")


def _scan(found: Recovered, segment: Segment) -> None:
    for index, line in enumerate(segment.lines()):
        if index == 0:
            _note_running(found, read_header(line, segment.epoch) or {})
            continue
        number = number_of(line, segment.epoch)
        if number is None or not 0 < number - segment.last <= MAX_HOLE + 1:
            _note_gap(found, segment.epoch, "lines of the journal were damaged")
            continue
        segment.last = number
        _note(found, segment.epoch, parse(line))


def _note_gap(found: Recovered, epoch: str, reason: str) -> None:
    gap = HistoryGap(epoch=epoch, first=1, last=None, reason=reason)
    found.gaps.setdefault(epoch, gap)


def _note_running(found: Recovered, fields: dict[str, Any]) -> None:
    for action_id, kind in fields.get("running", {}).items():
        if action_id not in found.ended:
            found.lost.setdefault(action_id, LostAction(action_id, str(kind)))


def _note(found: Recovered, epoch: str, frame: dict[str, Any]) -> None:
    """Follow an action from its acceptance to its end."""
    kind = frame.get("type")
    content = frame.get(kind) if isinstance(kind, str) else None
    action_id = content.get("action_id") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(action_id, str):
        return
    if kind == "observation":
        found.lost.pop(action_id, None)
        found.ended[action_id] = epoch
    elif content.get("event") == "accepted":
        found.lost[action_id] = LostAction(action_id, str(content.get("kind")))
    elif action_id in found.lost:
        found.lost[action_id].add(_output(content))


def _output(event: dict[str, Any]) -> str:
    if event.get("event") == "output":
        return str(event.get("content", ""))
    if event.get("event") != "exec_output":
        return ""
    try:
        data = base64.urlsafe_b64decode(str(event.get("data", "")))
    except (binascii.Error, ValueError):
        return ""
    return data.decode("utf-8", "replace")


def _drop_needless(journal: Journal, found: Recovered) -> None:
    """A client that dies at its start over and over leaves an epoch each time: few are kept."""
    spans = list(found.epochs.values())
    unused = [s.epoch for s in spans if s.last < s.first]
    started = [s.epoch for s in spans if s.first == s.last == 1][:-KEEP_EMPTY]
    rest = [s.epoch for s in spans if s.epoch not in (*unused, *started)]
    excess = rest[: max(0, len(rest) - MAX_EPOCHS + 1 + KEEP_EMPTY)]
    for epoch in (*unused, *started, *excess):
        journal.drop_epoch(epoch)
        del found.epochs[epoch]
    if dropped := [*started, *excess]:
        _note_gap(found, dropped[-1], f"{len(dropped)} lives of the client were left out")
