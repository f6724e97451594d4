"""The file that an output goes to as it comes: whole, or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OutputFile:
    """Made by the first `append`, with its folder. One owner; `close` at the end, the file stays.

    `problem` is what kept it from being whole: then it was removed, which frees the room.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.begun = False
        self.problem: OSError | None = None
        self._file = -1

    def append(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether the file holds all that was appended. Never fails."""
        if self.problem is not None:
            return False
        try:
            if not self.begun:
                self._open()
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as problem:
            self._give_up(problem)
        return self.problem is None

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on, also after `close`. Raises `OSError`."""
        if self._file >= 0:
            return os.pread(self._file, limit, offset)
        file = os.open(self.path, _READ)
        try:
            return os.pread(file, limit, offset)
        finally:
            os.close(file)

    def close(self) -> None:
        """Twice is safe."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self.path, _NEW, 0o600)
        self.begun = True

    def _give_up(self, problem: OSError) -> None:
        self.problem = problem
        self.close()
        with suppress(OSError):  # it was never made, or is gone
            os.unlink(self.path)
