"""The engine's hijacked connections: attach and exec streams, which mix two outputs in one.

Each piece comes behind a header of 8 bytes: stream number, three zeros, length (big-endian).
What goes the other way is raw.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

STDOUT = 1
_HEADER = 8
_READ = 256 * 1024


class Demultiplexer:
    """Takes the mixed bytes, hands on the pieces. No I/O."""

    def __init__(self, on_piece: Callable[[int, memoryview], None]) -> None:
        self._on_piece = on_piece
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        view = memoryview(data)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                self._on_piece(self._stream, piece)
            else:
                need = _HEADER - len(self._header)
                self._header += bytes(view[:need])
                view = view[need:]
                if len(self._header) == _HEADER:
                    self._stream = self._header[0]
                    self._left = int.from_bytes(self._header[4:8], "big")
                    self._header = b""


def raw_socket(hijacked: Any) -> socket.socket:
    """The socket inside what the SDK returns for `socket=True`, non-blocking."""
    inner = getattr(hijacked, "_sock", hijacked)
    if not isinstance(inner, socket.socket):
        raise OSError(f"the engine's connection cannot be used as a socket: {type(inner)}")
    inner.setblocking(False)
    return inner


async def read_pieces(
    connection: socket.socket, on_piece: Callable[[int, memoryview], None]
) -> None:
    """Read the connection to its end."""
    pieces = Demultiplexer(on_piece)
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(connection, _READ):
        pieces.feed(data)
