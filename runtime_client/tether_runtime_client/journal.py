"""The client's journal: every numbered frame on disk, until the controller has stored it.

A folder of segments, `<life>-<epoch>-<part>.jsonl`. Records are written, not fsynced: they
survive the death of this process, not of the kernel. On a full disk the journal goes on in space
it had set aside, and past that in memory: then it survives every connection, and not the process.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .protocol.errors import DiskFull
from .segment import Segment, header, read_header, repaired, stand_ins

SEGMENT_SIZE = 8 * 1024 * 1024
RESERVE_SIZE = 4 * 1024 * 1024
"""Space kept aside so that what is running can still be ended on a full disk."""

MEMORY_LIMIT = 8 * 1024 * 1024
"""The most that is kept in memory when the reserve is used up too."""

_NAME = re.compile(r"(\d+)-([0-9a-f]{8,32})-(\d+)\.jsonl")

log = logging.getLogger(__name__)


class Trimmed(Exception):
    """A reader fell behind what the controller has acknowledged and the journal let go."""


class Position(NamedTuple):
    """The place before frame `seq` of a segment, `offset` bytes into its file.

    `since` is the number of deletions there had been when its reader began.
    """

    segment: Segment
    offset: int
    seq: int
    since: int


class Journal:
    """The running epoch's segments, and those earlier epochs left. Owned by one client process."""

    def __init__(self, folder: Path, epoch: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.epoch = epoch
        self.damaged: list[str] = []
        """Epochs of which a file could not be read at all."""
        self._folder = folder
        self._life, self._segments = self._read_folder()
        self._part = 0
        self._deletions = 0
        self._reserve = folder / "reserve"
        self._has_reserve = self._make_reserve()
        self._current = self._start(first=1, running={})

    # --- writing

    @property
    def degraded(self) -> bool:
        """Whether the disk was found full: only what ends running actions should be written."""
        return not self._has_reserve

    @property
    def room(self) -> int:
        """Bytes that can be written for sure while the disk is full."""
        if self._has_reserve:
            return RESERVE_SIZE
        if self._current.path is None:
            return self._memory_left
        return max(0, RESERVE_SIZE - self._current.size)

    def append(self, line: bytes, seq: int, running: dict[str, str]) -> None:
        """Write frame number `seq`; `running` maps ids of unended actions to their kinds.

        Raises `DiskFull`, and has written nothing, when even the reserve and the memory that
        stands in for it are used up.
        """
        if self._current.size >= SEGMENT_SIZE and self._current.path is not None:
            self._rotate(seq, running)
        data = line + b"\n"
        try:
            self._write(data)
        except OSError as problem:
            self._current = self._fall_back(seq, running, problem)
            self._write(data)
        current = self._current
        current.last = seq
        if current.size >= current.next_mark:
            current.mark()

    def end(self) -> Position:
        """The place behind the last frame written."""
        current = self._current
        return Position(current, current.size, current.last + 1, self._deletions)

    def trim(self, acknowledged: int, running: dict[str, str]) -> None:
        """Delete the segments that hold nothing after frame `acknowledged`, but for the last."""
        for segment in [s for s in self._segments if s.epoch == self.epoch]:
            if segment is not self._current and segment.last <= acknowledged:
                self._delete(segment)
        if self.degraded:
            self.recover_space(running)

    def recover_space(self, running: dict[str, str]) -> None:
        """Leave the degraded state if there is space again. Cheap; nothing happens otherwise."""
        if self._has_reserve:
            return
        self._has_reserve = self._make_reserve()
        if self._has_reserve and self._current.path is None:
            self._rotate(self._current.last + 1, running)

    def begin_epoch(self, epoch: str, running: dict[str, str]) -> None:
        """Number from 1 again, under another epoch; the present one becomes an earlier one."""
        self.epoch = epoch
        self._current = self._start(first=1, running=running)

    def drop_epoch(self, epoch: str, *, before: Segment | None = None) -> None:
        """Delete all of an earlier epoch, or its segments before one of them."""
        for segment in list(self._segments):
            if segment is before:
                return
            if segment.epoch == epoch:
                self._delete(segment)

    def close(self) -> None:
        """Close the files. Twice is safe."""
        for segment in self._segments:
            segment.close()

    # --- reading

    def start(self) -> Position:
        """The place before the oldest frame kept."""
        first = self._segments[0]
        return Position(first, 0, first.first, self._deletions)

    def read(
        self, position: Position, limit: int, have: dict[str, int]
    ) -> tuple[list[bytes], Position]:
        """Frames from `position` on, about `limit` bytes of them, and the place behind them.

        Left out are those up to number `have` of their epoch. Nothing means the end. Raises
        `Trimmed` when frames at `position` are gone.
        """
        while True:
            position = _step_over(position, have)
            frames, position = self._read_one(position, limit)
            stored = have.get(position.segment.epoch, 0)
            wanted = frames[max(0, stored + 1 - (position.seq - len(frames))) :]
            at_end = position.offset >= position.segment.size and position.segment.next is None
            if wanted or (at_end and not frames):
                return wanted, position

    def earlier(self) -> Iterator[Segment]:
        """The segments earlier lives left, oldest first."""
        return iter([s for s in self._segments if s.epoch != self.epoch])

    # --- inside

    def _read_one(self, position: Position, limit: int) -> tuple[list[bytes], Position]:
        """The same within one segment; at its end, what is missing there is told."""
        segment = position.segment
        try:
            lines, offset = segment.read(position.offset, limit)
        except OSError as problem:
            log.error("a segment of the journal cannot be read: %s", problem)
            lines, offset = [], segment.size
        frames = list(repaired(lines, segment.epoch, position.seq, segment.last))
        seq = position.seq + len(frames)
        if offset >= segment.size:
            frames += stand_ins(segment.epoch, seq, segment.last + 1)
            seq = max(seq, segment.last + 1)
        return frames, Position(segment, offset, seq, position.since)

    def _read_folder(self) -> tuple[int, list[Segment]]:
        named = [(found, p) for p in self._folder.iterdir() if (found := _NAME.fullmatch(p.name))]
        named.sort(key=lambda item: (int(item[0][1]), int(item[0][3])))
        segments: list[Segment] = []
        for found, path in named:
            segment = self._open_earlier(path, found[2])
            if segment is not None:
                _link(segments, segment)
        life = 1 + max((int(found[1]) for found, _ in named), default=0)
        return life, segments

    def _open_earlier(self, path: Path, epoch: str) -> Segment | None:
        """A file whose header cannot be read goes, and is told of: each is written with one."""
        try:
            segment = Segment(path, epoch, first=1, last=0, size=path.lstat().st_size)
            line = next(segment.lines(), b"")
        except OSError as problem:  # it is a link, or no file at all
            log.error("a file of the journal cannot be read: %s", problem)
            line = b""
        fields = read_header(line, epoch)
        if fields is None:
            self.damaged.append(epoch)
            _remove(path)
            return None
        segment.first, segment.last = fields["first"], fields["first"] - 1
        return segment

    def _start(self, *, first: int, running: dict[str, str]) -> Segment:
        """A fresh segment: on disk, else in the reserve, else in memory."""
        try:
            segment = self._create(first)
        except OSError as problem:
            return self._fall_back(first, running, problem)
        return self._begin(segment, running)

    def _create(self, first: int) -> Segment:
        path = self._next_path()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return Segment(path, self.epoch, first, first - 1, descriptor=os.open(path, flags, 0o600))

    def _begin(self, segment: Segment, running: dict[str, str]) -> Segment:
        try:
            segment.write(header(self.epoch, segment.first, running))
        except OSError as problem:
            segment.delete()
            return self._fall_back(segment.first, running, problem)
        _link(self._segments, segment)
        return segment

    def _rotate(self, seq: int, running: dict[str, str]) -> None:
        """Go on in a new segment, unless there is no space for one: the present one can grow."""
        try:
            segment = self._create(seq)
        except OSError as problem:
            log.warning("the journal's segment grows past its size: %s", problem)
            return
        self._current = self._begin(segment, running)

    def _fall_back(self, seq: int, running: dict[str, str], problem: OSError) -> Segment:
        log.error("the journal cannot be written as usual: %s", problem)
        if self._has_reserve:
            return self._begin(self._take_reserve(seq), running)
        memory = os.memfd_create("tether journal", os.MFD_CLOEXEC)
        segment = Segment(None, self.epoch, seq, seq - 1, descriptor=memory)
        segment.write(header(self.epoch, seq, running))
        _link(self._segments, segment)
        return segment

    def _take_reserve(self, seq: int) -> Segment:
        """The file itself becomes a segment: nobody else can take its space in between."""
        self._has_reserve = False
        path = self._next_path()
        self._reserve.rename(path)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return Segment(path, self.epoch, seq, seq - 1, descriptor=descriptor)

    def _write(self, data: bytes) -> None:
        if self._current.path is None and len(data) > self._memory_left:
            raise DiskFull("the disk under the run directory is full", path=str(self._folder))
        self._current.write(data)

    @property
    def _memory_left(self) -> int:
        return MEMORY_LIMIT - sum(s.size for s in self._segments if s.path is None)

    def _make_reserve(self) -> bool:
        """Leave the space free again if it cannot be had whole."""
        # A pipe planted in its place must not be waited for.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._reserve, flags, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
        return True

    def _next_path(self) -> Path:
        self._part += 1
        return self._folder / f"{self._life:06d}-{self.epoch}-{self._part:06d}.jsonl"

    def _delete(self, segment: Segment) -> None:
        segment.delete()
        self._deletions += 1
        index = self._segments.index(segment)
        if index > 0:
            before = self._segments[index - 1]
            before.next, before.hole = segment.next, self._deletions
        del self._segments[index]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as problem:  # a folder of that name: it is passed over each time
        log.error("what is no file of the journal stays: %s", problem)


def _link(segments: list[Segment], segment: Segment) -> None:
    if segments:
        segments[-1].next = segment
    segments.append(segment)


def _step_over(position: Position, have: dict[str, int]) -> Position:
    """Past segments that are read to their end, stored or trimmed, to where there may be more."""
    while True:
        segment = position.segment
        done = position.seq > segment.last or segment.last <= have.get(segment.epoch, 0)
        if segment.deleted and not done:
            raise Trimmed
        if not done or segment.next is None:
            return _nearer(position, have.get(segment.epoch, 0) + 1)
        if segment.hole > position.since:
            raise Trimmed
        position = Position(segment.next, 0, segment.next.first, position.since)


def _nearer(position: Position, wanted: int) -> Position:
    """As near to frame `wanted` of the segment as is known; what is before it is not read."""
    if wanted <= position.seq:
        return position
    seq, offset = position.segment.place_before(wanted)
    return position if offset <= position.offset else position._replace(offset=offset, seq=seq)
