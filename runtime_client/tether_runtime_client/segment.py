"""One file of the journal, and how damage in it is told."""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from .protocol.events import HistoryGap
from .protocol.frames import encode_numbered
from .protocol.limits import MAX_FRAME

_NUMBERED = re.compile(
    rb'\{"type":"(?:event|observation)","epoch":"([0-9a-f]{8,32})","seq":(\d{1,16}),'
)
_BLOCK = 256 * 1024
MARK_EVERY = 64 * 1024
"""Bytes between places that are remembered, for readers that have what is before."""

MAX_HOLE = 10_000
"""The most numbers that may be missing in a row; a bigger jump is damage, not a hole."""


@dataclass(slots=True, eq=False)
class Segment:
    """A header line, then one line for each of the frames `first` to `last` of an epoch.

    What lies behind `size` is torn or reserved space. `descriptor` is open while this life's
    client writes here; earlier ones are opened when they are read. `next` is the segment after;
    when another one stood between the two, `hole` is the number of its deletion.
    """

    path: Path | None
    epoch: str
    first: int
    last: int
    size: int = 0
    descriptor: int = -1
    deleted: bool = False
    next: Segment | None = None
    hole: int = 0
    next_mark: int = MARK_EVERY
    _marks: list[tuple[int, int]] = field(default_factory=list)

    def mark(self) -> None:
        """Remember the place behind the last frame. Called when the size reaches `next_mark`."""
        self._marks.append((self.last + 1, self.size))
        self.next_mark = self.size + MARK_EVERY

    def place_before(self, seq: int) -> tuple[int, int]:
        """The last remembered place before frame `seq`: the number of its frame, and its offset."""
        index = bisect_right(self._marks, (seq, sys.maxsize))
        return self._marks[index - 1] if index else (self.first, 0)

    def write(self, data: bytes) -> None:
        """Add whole lines, all or nothing; raises the `OSError` that stood against it."""
        written = 0
        while written < len(data):
            written += os.pwrite(self.descriptor, data[written:], self.size + written)
        self.size += len(data)

    def read(self, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Whole lines from `offset`, at least one where there is one, and the place behind."""
        with self._reading() as descriptor:
            data = os.pread(descriptor, max(0, min(limit, self.size - offset)), offset)
            while data and b"\n" not in data and len(data) <= MAX_FRAME:
                more = os.pread(descriptor, _BLOCK, offset + len(data))
                if not more:
                    break
                data += more
        whole = data[: data.rfind(b"\n") + 1]
        if data and not whole:
            return [], self.size  # torn, or longer than any line of ours: nothing more to be had
        return whole.split(b"\n")[:-1], offset + len(whole)

    def lines(self) -> Iterator[bytes]:
        """All lines, the header first."""
        offset = 0
        while offset < self.size:
            lines, offset = self.read(offset, _BLOCK)
            yield from lines

    def delete(self) -> None:
        """Remove the file. Whoever reads it at this moment is told by `deleted`."""
        self.deleted = True
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the descriptor. Twice is safe."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @contextmanager
    def _reading(self) -> Iterator[int]:
        if self.descriptor >= 0:
            yield self.descriptor
            return
        assert self.path is not None
        # A pipe planted in the file's place must not be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def header(epoch: str, first: int, running: dict[str, str]) -> bytes:
    """A segment's first line: what was running when it began, so that older ones can go."""
    return to_json({"epoch": epoch, "first": first, "running": running}) + b"\n"


def read_header(line: bytes, epoch: str) -> dict[str, Any] | None:
    """A header's fields, or None when it is none of ours."""
    value = parse(line)
    if not isinstance(value, dict) or value.get("epoch") != epoch:
        return None
    first, running = value.get("first"), value.get("running")
    if not isinstance(first, int) or first < 1 or not isinstance(running, dict):
        return None
    return value


def parse(line: bytes) -> Any:
    """A line's JSON value, None when it has none."""
    try:
        return from_json(line)
    except ValueError:
        return None


def number_of(line: bytes, epoch: str) -> int | None:
    """The number of a frame of this epoch, None when the line is none."""
    found = _NUMBERED.match(line)
    if found is None or found[1] != epoch.encode() or not isinstance(parse(line), dict):
        return None
    return int(found[2])


def repaired(lines: Iterable[bytes], epoch: str, seq: int, last: int) -> Iterator[bytes]:
    """The frames from number `seq` on; one that is damaged or missing is told by a gap.

    Numbers above `last` are not ours; lines that repeat a number are left out.
    """
    for line in lines:
        number = number_of(line, epoch)
        if number is None or not seq <= number <= last:
            continue
        yield from stand_ins(epoch, seq, number)
        yield line
        seq = number + 1


def stand_ins(epoch: str, first: int, end: int) -> Iterator[bytes]:
    """A frame for each number in [first, end), which says that the event is gone."""
    for seq in range(first, end):
        gap = HistoryGap(epoch=epoch, first=seq, last=seq, reason="the journal was damaged")
        yield encode_numbered(epoch, seq, gap)


def renumber(frame: bytes, epoch: str, seq: int) -> bytes:
    """The same event under another number."""
    kind = b"observation" if frame.startswith(b'{"type":"observation"') else b"event"
    found = _NUMBERED.match(frame)
    assert found is not None
    return (
        b'{"type":"%b","epoch":"%b","seq":%d,' % (kind, epoch.encode(), seq) + frame[found.end() :]
    )
