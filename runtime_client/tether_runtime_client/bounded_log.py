"""A log file that never grows past a limit: the newest part, and the part before it."""

from __future__ import annotations

import os

#: Bytes in each of the two files.
LIMIT = 512 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BoundedLog:
    """Writes to `path`; when that is full it becomes `path`.1, and a new one is begun.

    What cannot be written is dropped: whoever writes to a log goes on whatever becomes of it.
    """

    def __init__(self, path: str, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._descriptor: int | None = None
        self._size = 0

    def write(self, data: bytes) -> bool:
        """Append; False when some of it was dropped."""
        try:
            for start in range(0, len(data), self._limit):
                self._append(data[start : start + self._limit])
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the file. Twice is safe; a later write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, data: bytes) -> None:
        if self._descriptor is None:
            self._open()
        if self._size + len(data) > self._limit:
            self.close()
            os.replace(self._path, earlier(self._path))
            self._open()
        assert self._descriptor is not None
        self._size += os.write(self._descriptor, data)

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        self._descriptor = os.open(self._path, _FLAGS, 0o600)
        self._size = os.fstat(self._descriptor).st_size


def earlier(path: str) -> str:
    """Where the part before the newest is."""
    return f"{path}.1"


def tail(path: str, size: int) -> bytes:
    """The last `size` bytes of a log, from both of its files; empty when there is none."""
    newest = _end_of(path, size)
    return _end_of(earlier(path), size - len(newest)) + newest


def _end_of(path: str, size: int) -> bytes:
    if size <= 0:
        return b""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)
    except OSError:
        return b""
