"""The fallback that always works: standard input and output of an engine exec.

It needs neither a shared folder nor a network, only the engine's API.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

from .base import Transport
from .engine_stream import STDOUT, Demultiplexer

_READ = 256 * 1024

log = logging.getLogger(__name__)


class ExecTransport(Transport):
    """Joins one end of a socket pair to an exec's streams, and hands out the other.

    `open_exec` starts `tether-runtime-client connect` in the sandbox and returns its hijacked,
    non-blocking connection; it is called in a thread and may raise `OSError`.
    """

    name = "exec"

    def __init__(self, open_exec: Callable[[], socket.socket], where: str) -> None:
        self._open_exec = open_exec
        self._where = where
        self._joints: set[asyncio.Task[None]] = set()

    async def connect(self) -> socket.socket:
        """Start an exec; raises `OSError` when the engine refuses."""
        engine = await asyncio.to_thread(self._open_exec)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        joint = asyncio.create_task(_join(engine, theirs))
        self._joints.add(joint)
        joint.add_done_callback(self._joints.discard)
        return ours

    def describe(self) -> str:
        """Which container."""
        return self._where


async def _join(engine: socket.socket, pair: socket.socket) -> None:
    """Carry bytes both ways until both are at their end; a half-close is passed on."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_inward(pair, engine))
            group.create_task(_outward(engine, pair))
    except* OSError as problems:
        log.debug("an exec connection ended: %s", problems.exceptions[0])
    finally:
        engine.close()
        pair.close()


async def _inward(pair: socket.socket, engine: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(pair, _READ):
        await loop.sock_sendall(engine, data)
    engine.shutdown(socket.SHUT_WR)


async def _outward(engine: socket.socket, pair: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    pieces: deque[bytes] = deque()

    def keep_stdout(stream: int, piece: memoryview) -> None:
        if stream == STDOUT:
            pieces.append(bytes(piece))

    demultiplexer = Demultiplexer(keep_stdout)
    while data := await loop.sock_recv(engine, _READ):
        demultiplexer.feed(data)
        while pieces:
            await loop.sock_sendall(pair, pieces.popleft())
    pair.shutdown(socket.SHUT_WR)
