"""Waiting for another process to write a file, without polling: inotify."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from pathlib import Path
from typing import Self

_MODIFY, _CREATE, _DELETE, _MOVED_TO, _DELETE_SELF = 0x2, 0x100, 0x200, 0x80, 0x400
_IGNORED = 0x8000  # the watch is void: the folder is gone
_MASK = _MODIFY | _CREATE | _DELETE | _MOVED_TO | _DELETE_SELF
_HEADER = struct.Struct("iIII")
_READ = 64 * 1024
LOOK_AGAIN_S = (0.05, 1.0)
"""After the last change, when to look twice more: a database's writer tells others what it has
written a moment after the kernel tells of the write, and a busy machine makes that a long one.
"""


class FolderWatch:
    """Tells when files of a folder were written, made or removed.

    Changes are noted from the moment it is made: look at the files after that, then `wait`, then
    look again, and nothing is missed.
    """

    def __init__(self, folder: Path, *prefixes: str) -> None:
        """Watch names that begin with one of these; raises `OSError` when that cannot be done."""
        self._prefixes = tuple(prefix.encode() for prefix in prefixes)
        self._void = False
        self._looks: tuple[float, ...] = ()
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _error(folder)
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK) < 0:
            problem = _error(folder)
            self.close()
            raise problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True once something has changed since the last call, and when it is worth a
        second look at what has.

        False when nothing has for `timeout_s`, or when the folder is gone. Ctrl-C ends it.
        """
        while not self._void:
            looks = self._looks
            limit = looks[0] if looks else timeout_s
            if not select.select([self._descriptor], [], [], limit)[0]:
                self._looks = looks[1:]
                return bool(looks)
            if self._take(os.read(self._descriptor, _READ)):
                self._looks = LOOK_AGAIN_S
                return not self._void
        return False

    def close(self) -> None:
        """Stop watching. Twice is safe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, data: bytes) -> bool:
        """Whether one of these changes is about a file that counts."""
        news, at = False, 0
        while at < len(data):
            _, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            self._void = self._void or bool(mask & (_DELETE_SELF | _IGNORED))
            news = news or data[at : at + length].startswith(self._prefixes)
            at += length
        return news


def _error(folder: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"cannot be watched: {os.strerror(number)}", str(folder))
