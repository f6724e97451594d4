"""The client's journal: every numbered frame on disk, until the controller has stored it.

A folder of segments, `<life>-<epoch>-<part>.jsonl`. A segment's first line is its header (what
was running when it began, so that older segments can go); each further line is one frame as it
goes over the wire. Records are written, not fsynced: they survive the death of this process,
not of the kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic_core import from_json, to_json

from .protocol.errors import DiskFull

SEGMENT_SIZE = 8 * 1024 * 1024
RESERVE_SIZE = 4 * 1024 * 1024
"""Space kept aside so that what is running can still be ended on a full disk."""


@dataclass(slots=True)
class Segment:
    """One file of the journal. `first` is the number of its first frame."""

    path: Path
    epoch: str
    first: int


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two frames: a part number and a byte offset in it."""

    part: int
    offset: int


class Journal:
    """The running epoch's segments, and those earlier epochs left. Owned by one client process."""

    def __init__(self, folder: Path, epoch: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._earlier = _read_segments(folder)
        self._life = 1 + max((_life_of(s.path) for s in self._earlier), default=0)
        self._epoch = epoch
        self._segments: dict[int, Segment] = {}
        self._part = 0
        self._size = 0
        self._file = -1
        self._reserve = folder / "reserve"
        self._has_reserve = self._make_reserve()
        self._start_segment(first=1, running={})

    # --- writing

    @property
    def degraded(self) -> bool:
        """Whether the disk was found full: only what ends running actions is still written."""
        return not self._has_reserve

    def append(self, line: bytes, seq: int, running: dict[str, str]) -> None:
        """Write frame number `seq`; `running` maps ids of unended actions to their kinds.

        Raises `DiskFull` when even the reserve is used up.
        """
        if self._size >= SEGMENT_SIZE:
            self._start_segment(first=seq, running=running)
        self._write(line + b"\n")

    def end(self) -> Position:
        """The place behind the last frame written."""
        return Position(self._part, self._size)

    def trim(self, acknowledged: int) -> None:
        """Delete the segments that hold nothing after frame `acknowledged`, but for the last."""
        parts = sorted(self._segments)
        for part, following in pairwise(parts):
            if self._segments[following].first > acknowledged + 1:
                break
            self._segments.pop(part).path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. Twice is safe."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # --- reading

    def seek(self, seq: int) -> Position:
        """The place just before frame `seq` of this epoch, or the oldest one kept."""
        part = max((p for p, s in self._segments.items() if s.first <= seq), default=None)
        if part is None:
            part = min(self._segments)
        segment = self._segments[part]
        with segment.path.open("rb") as file:
            file.readline()
            for _ in range(seq - segment.first):
                file.readline()
            return Position(part, file.tell())

    def read(self, position: Position, limit: int) -> tuple[list[bytes], Position]:
        """Frames from `position` on, about `limit` bytes of them, and the place behind them."""
        part, offset = position.part, position.offset
        if part not in self._segments:
            part, offset = min(self._segments), 0
        lines, offset = _read_lines(self._segments[part].path, offset, limit)
        if not lines and part < self._part:
            following = min(p for p in self._segments if p > part)
            return self.read(Position(following, 0), limit)
        return lines, Position(part, offset)

    def earlier(self) -> Iterator[tuple[str, list[bytes]]]:
        """The segments earlier lives left, oldest first: epoch and lines, headers included."""
        for segment in self._earlier:
            with segment.path.open("rb") as file:
                yield segment.epoch, file.read().split(b"\n")[:-1]

    def drop_epoch(self, epoch: str) -> None:
        """Delete all of an earlier epoch: it is stored elsewhere now."""
        for segment in [s for s in self._earlier if s.epoch == epoch]:
            segment.path.unlink(missing_ok=True)
            self._earlier.remove(segment)

    # --- inside

    def _start_segment(self, *, first: int, running: dict[str, str]) -> None:
        self.close()
        self._part += 1
        path = self._folder / f"{self._life:06d}-{self._epoch}-{self._part:06d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._segments[self._part] = Segment(path, self._epoch, first)
        self._size = 0
        header = {"epoch": self._epoch, "first": first, "running": running}
        self._write(to_json(header) + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._write_whole(data)
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(self._file, self._size)
            self._use_reserve()
            self._write_whole(data)

    def _write_whole(self, data: bytes) -> None:
        written = os.write(self._file, data)
        while written < len(data):
            written += os.write(self._file, data[written:])
        self._size += len(data)

    def _make_reserve(self) -> bool:
        """Whether the space could be had whole; if not, none of it is taken."""
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
        return True

    def _use_reserve(self) -> None:
        if self.degraded:
            raise DiskFull("the disk under the run directory is full", path=str(self._folder))
        self._reserve.unlink(missing_ok=True)
        self._has_reserve = False


def _read_segments(folder: Path) -> list[Segment]:
    segments = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            header = file.readline()
        if header.endswith(b"\n"):
            value = from_json(header)
            segments.append(Segment(path, value["epoch"], value["first"]))
        else:
            path.unlink()
    return segments


def _life_of(path: Path) -> int:
    return int(path.name.split("-", 1)[0])


def _read_lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    """Whole lines from `offset`, at least one where there is one; the header is left out."""
    with path.open("rb") as file:
        if offset == 0:
            offset = len(file.readline())
        file.seek(offset)
        data = file.read(limit)
        if data and b"\n" not in data:
            data += file.readline()
    whole = data[: data.rfind(b"\n") + 1]
    return whole.split(b"\n")[:-1], offset + len(whole)
