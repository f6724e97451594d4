"""Writes to a descriptor that may not take everything at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_AT_ONCE = 64 * 1024  # of what is left: a terminal takes 4 KiB, mostly


class Writer:
    """What does not fit follows, in order, as whoever is at the other end reads.

    `write` writes to the descriptor without waiting and returns how many bytes it took.
    """

    def __init__(self, fd: int, write: Callable[[bytes | memoryview], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._write = write
        self._left = bytearray()

    @property
    def left(self) -> int:
        """How many bytes have not fitted yet."""
        return len(self._left)

    def write(self, data: bytes) -> None:
        """Write now what fits."""
        if self._left:
            self._left += data
            return
        taken = self._write(data)
        if taken < len(data):
            self._left += data[taken:]
            self._loop.add_writer(self._fd, self._write_rest)

    def _write_rest(self) -> None:
        with memoryview(self._left) as left, left[:_AT_ONCE] as part:
            taken = self._write(part)
        del self._left[:taken]
        if not self._left:
            self.stop()

    def drop(self) -> None:
        """Forget what has not fitted. Twice is safe."""
        if self._left:
            self._left.clear()
            self.stop()

    def stop(self) -> None:
        """Do not wait for room any more. Twice is safe."""
        self._loop.remove_writer(self._fd)
