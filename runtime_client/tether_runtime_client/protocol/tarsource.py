"""An archive's bytes as they come in, in pieces of any size."""

from __future__ import annotations

from collections.abc import Callable

from .errors import TransferError
from .holes import end_here, write
from .tarheader import padding

#: Zeros after the end marker: archives are padded to whole records.
_MAX_PADDING = 16 * 1024 * 1024

Read = Callable[[int], bytes | memoryview | None]


class Source:
    """The archive's bytes, from a `read` that may give fewer than it is asked for."""

    def __init__(self, read: Read, size: int = 256 * 1024) -> None:
        self._read = read
        self._size = size
        self._piece = memoryview(b"")

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes. Raises TransferError when the archive ends before."""
        if count <= len(self._piece):
            data = bytes(self._piece[:count])
            self._piece = self._piece[count:]
            return data
        parts = []
        while count:
            part = self._next(count)
            parts.append(bytes(part))
            count -= len(part)
        return b"".join(parts)

    def copy(self, descriptor: int, count: int) -> None:
        """Write the next `count` bytes to a file, holes as holes, and pass over the padding."""
        left, hole = count, False
        while left:
            part = self._next(left)
            left -= len(part)
            hole = write(descriptor, part)
        if hole:
            end_here(descriptor)
        self.exactly(padding(count))

    def end(self) -> None:
        """Read on to the stream's end, where only zeros may be."""
        padding_left = _MAX_PADDING
        while data := bytes(self._piece or self._read(self._size) or b""):
            self._piece = memoryview(b"")
            padding_left -= len(data)
            if padding_left < 0 or data.count(0) != len(data):
                raise TransferError("there is something after the end of the archive")

    def _next(self, limit: int) -> memoryview:
        if not self._piece:
            self._piece = memoryview(self._read(self._size) or b"")
            if not self._piece:
                raise TransferError("the archive ends too early: it was cut off")
        part, self._piece = self._piece[:limit], self._piece[limit:]
        return part
