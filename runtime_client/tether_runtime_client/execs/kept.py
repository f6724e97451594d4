"""One output stream of a started exec, for as long as its caller has not taken it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path

from ..output_file import OutputFile
from ..protocol.errors import DiskFull
from ..protocol.limits import EXEC_INLINE_LIMIT, EXEC_WINDOW

log = logging.getLogger(__name__)


class Kept(ABC):
    """Takes what the process writes; gives it out by offset. One owner, on the loop.

    `first` is the beginning of the stream, for the observation. `ended`: there will be no more.
    """

    def __init__(self) -> None:
        self.total = 0
        self.ended = False
        self._first = bytearray()

    @property
    def first(self) -> bytes:
        """The first part."""
        return bytes(self._first)

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether the process is to wait until some of it was taken."""

    @property
    @abstractmethod
    def begins(self) -> int:
        """The offset of the first byte that can still be read."""

    @property
    def path(self) -> str | None:
        """The file with all of it, where there is one."""
        return None

    @property
    def held(self) -> int:
        """Bytes of memory that wait for somebody to take them."""
        return len(self._first) if self.ended else 0

    def write(self, data: memoryview) -> None:
        """Take the next bytes. The view is not kept."""
        room = EXEC_INLINE_LIMIT - len(self._first)
        if room > 0:
            self._first += data[:room]
        self._keep(data)
        self.total += len(data)

    @abstractmethod
    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on; nothing where there are none yet.

        Raises `DiskFull` for what could not be kept.
        """

    @abstractmethod
    def release(self, offset: int) -> None:
        """Everything before `offset` was taken."""

    def begin(self, offset: int) -> int:
        """A caller has come that has everything before `offset`: where it goes on."""
        return max(offset, self.begins)

    def finish(self) -> None:
        """There will be no more: free what is not needed to read what nobody has taken."""
        self.ended = True

    @abstractmethod
    def _keep(self, data: memoryview) -> None: ...


class Held(Kept):
    """In memory, and no more of it than is on its way: the process waits for whoever reads it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()
        self._begins = 0
        self._taken = 0

    @property
    def is_full(self) -> bool:
        """Whether a window of it was not taken."""
        return self.total - self._taken >= EXEC_WINDOW

    @property
    def begins(self) -> int:
        """What was taken is gone."""
        return self._begins

    @property
    def held(self) -> int:
        """What was not taken yet."""
        return max(0, self.total - self._taken)

    def read(self, offset: int, limit: int) -> bytes:
        """From memory."""
        at = offset - self._begins
        return bytes(memoryview(self._waiting)[at : at + limit]) if at >= 0 else b""

    def release(self, offset: int) -> None:
        """Forget them; a number beyond all there is stands for all that comes, too."""
        self._taken = max(self._taken, offset)
        del self._waiting[: self._taken - self._begins]
        self._begins = min(self._taken, self.total)

    def begin(self, offset: int) -> int:
        """That the former caller wanted no more is not said for this one."""
        self._taken = self._begins
        return super().begin(offset)

    def finish(self) -> None:
        """Ended ones are remembered for a while, and their beginning is in the observation."""
        super().finish()
        self._first.clear()

    def _keep(self, data: memoryview) -> None:
        if self._taken <= self.total:
            self._waiting += data
        else:
            self._begins = self.total + len(data)


class Filed(Kept):
    """In a file from the first byte on, whoever reads it: the process never waits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._name = path.name
        self._file = OutputFile(path)

    @property
    def is_full(self) -> bool:
        """Never."""
        return False

    @property
    def begins(self) -> int:
        """All of it can be read, at any time."""
        return 0

    @property
    def path(self) -> str | None:
        """The file; None while nothing was written, and once the disk was full."""
        return str(self._file.path) if self.total and self._file.problem is None else None

    def read(self, offset: int, limit: int) -> bytes:
        """From the file; the beginning from memory."""
        if offset < len(self._first):
            return bytes(self._first[offset : offset + limit])
        if offset >= self.total:
            return b""
        if self._file.problem is not None:
            raise DiskFull(
                f"of {self.total:,} bytes of {self._name} the sandbox had room for the first"
                f" {len(self._first):,} only"
            )
        return self._read_file(offset, limit)

    def release(self, offset: int) -> None:
        """The file stays."""

    def finish(self) -> None:
        """Close the file, which stays; it is opened again to be read."""
        super().finish()
        self._file.close()
        if self._file.problem is None:
            self._first.clear()

    def _read_file(self, offset: int, limit: int) -> bytes:
        try:
            data = self._file.read(offset, min(limit, self.total - offset))
        except OSError as problem:
            raise DiskFull(f"{self._file.path} cannot be read: {problem.strerror}") from problem
        if not data:
            raise DiskFull(f"{self._file.path} was cut short")
        return data

    def _keep(self, data: memoryview) -> None:
        was_whole = self._file.problem is None
        if not self._file.append(data) and was_whole:
            log.warning("%s cannot be kept whole: %s", self._name, self._file.problem)
