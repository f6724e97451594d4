"""inotify(7), of which Python has nothing, by ctypes: three calls and a file to read.

One instance serves all watches of this process: the kernel gives a user 128 instances, on all of
a machine's containers together.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, UNMOUNT = 0x400, 0x800, 0x2000
Q_OVERFLOW, IGNORED, IS_DIR = 0x4000, 0x8000, 0x40000000
_DONT_FOLLOW, _EXCL_UNLINK = 0x02000000, 0x04000000

#: The same for everybody: a second watch of a folder is the first one, with the newer mask.
_MASK = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
_MASK |= DELETE_SELF | MOVE_SELF | _DONT_FOLLOW | _EXCL_UNLINK

_HEAD = struct.Struct("iIII")
_BUFFER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Raw:
    """An event as the kernel tells it. `wd` is -1 when events were lost."""

    wd: int
    mask: int
    cookie: int
    name: str


Listener = Callable[[list[Raw]], None]
"""Gets what one reading brought about its own watches, in order."""


class Inotify:
    """The watches of this process, each with those who listen to it. Belongs to one loop."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = -1
        self._listeners: dict[int, set[Listener]] = {}

    def add(self, path: str, listener: Listener) -> int:
        """Watch a path, a link itself and not its target; returns the watch's number.

        Raises OSError: ENOSPC and EMFILE when the user has too many.
        """
        if self._file < 0:
            self._open()
        number = self._libc.inotify_add_watch(self._file, os.fsencode(path), _MASK)
        if number < 0:
            problem = ctypes.get_errno()
            self._close_if_unused()
            raise OSError(problem, os.strerror(problem), path)
        self._listeners.setdefault(number, set()).add(listener)
        return int(number)

    def remove(self, number: int, listener: Listener) -> None:
        """Listen no more; with its last listener a watch ends. Twice is safe."""
        listeners = self._listeners.get(number)
        if listeners is None:
            return
        listeners.discard(listener)
        if not listeners:
            del self._listeners[number]
            # The kernel has ended it by itself when what was watched is gone.
            self._libc.inotify_rm_watch(self._file, number)
            self._close_if_unused()

    def _open(self) -> None:
        file = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if file < 0:
            problem = ctypes.get_errno()
            raise OSError(problem, os.strerror(problem))
        self._file = file
        asyncio.get_running_loop().add_reader(file, self._read)

    def _close_if_unused(self) -> None:
        if not self._listeners and self._file >= 0:
            asyncio.get_running_loop().remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        """One buffer at a time: the loop's other work has its turn between two of them."""
        try:
            data = os.read(self._file, _BUFFER)
        except OSError as problem:
            if problem.errno in (errno.EAGAIN, errno.EINTR):
                return
            raise
        told: dict[Listener, list[Raw]] = {}
        for event in _events(data):
            for listener in self._who(event):
                told.setdefault(listener, []).append(event)
            if event.mask & IGNORED:
                self._listeners.pop(event.wd, None)
        for listener, events in told.items():
            listener(events)
        self._close_if_unused()

    def _who(self, event: Raw) -> set[Listener]:
        if event.mask & Q_OVERFLOW:
            return {each for listeners in self._listeners.values() for each in listeners}
        return self._listeners.get(event.wd, set())


def _events(data: bytes) -> Iterator[Raw]:
    at = 0
    while at < len(data):
        wd, mask, cookie, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield Raw(wd, mask, cookie, os.fsdecode(data[at : at + size].rstrip(b"\0")))
        at += size
