"""The fallback that always works: standard input and output of an engine exec.

It needs neither a shared folder nor a network, only the engine's API.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

from tether_runtime_client.protocol.joint import Joints

from .base import Transport
from .engine_stream import STDOUT, Demultiplexer

_READ = 256 * 1024
_COMPLAINT = 500

log = logging.getLogger(__name__)


class ExecTransport(Transport):
    """Joins one end of a socket pair to an exec's streams, and hands out the other.

    `open_exec` starts `tether-runtime-client connect` in the sandbox and returns its hijacked,
    non-blocking connection; it is called in a thread and may raise `OSError`.
    """

    name = "exec"
    patience_s = 15.0

    def __init__(self, open_exec: Callable[[], socket.socket], where: str) -> None:
        self._open_exec = open_exec
        self._where = where
        self._joints = Joints()

    async def connect(self) -> socket.socket:
        """Start an exec; raises `OSError` when the engine refuses."""
        opening = asyncio.create_task(asyncio.to_thread(self._open_exec))
        try:
            engine = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        return self._joints.join(_Exec(engine))

    def describe(self) -> str:
        """Which container."""
        return self._where

    async def close(self) -> None:
        """End what still runs."""
        await self._joints.close()


def _close_unwanted(opening: asyncio.Task[socket.socket]) -> None:
    """Whoever asked for it was cancelled before the engine answered."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Exec:
    """The engine's connection, a `FarEnd`: its standard output is the pipe, and its standard error
    the last words of what failed.
    """

    def __init__(self, engine: socket.socket) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._pieces = Demultiplexer(self._take)
        self._output: deque[bytes] = deque()
        self._complaint = ""

    async def read(self) -> bytes:
        while not self._output:
            data = await self._loop.sock_recv(self._engine, _READ)
            if not data:
                return b""
            self._pieces.feed(data)
        return self._output.popleft()

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._engine, data)

    async def end(self) -> None:
        self._engine.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._engine.close()
        if self._complaint:
            log.info("the exec in the sandbox said: %s", self._complaint)

    def _take(self, stream: int, piece: memoryview) -> None:
        if stream == STDOUT:
            self._output.append(bytes(piece))
        else:
            words = bytes(piece).decode("utf-8", "replace")
            complaint = (self._complaint + words)[-_COMPLAINT:]
            self._complaint = "".join(c if c.isprintable() else " " for c in complaint)
