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
_COMPLAINT = 500
LINGER_S = 30.0

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
        self._joints: set[asyncio.Task[None]] = set()

    async def connect(self) -> socket.socket:
        """Start an exec; raises `OSError` when the engine refuses."""
        opening = asyncio.create_task(asyncio.to_thread(self._open_exec))
        try:
            engine = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
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


def _close_unwanted(opening: asyncio.Task[socket.socket]) -> None:
    """Whoever asked for it was cancelled before the engine answered."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def _join(engine: socket.socket, pair: socket.socket) -> None:
    """Carry bytes both ways until both are at their end; a half-close is passed on.

    Once the near side has said all it has, the far one gets a while to do the same: a process in
    the sandbox that does not end must not hold the engine's connection for ever.
    """
    outward = asyncio.create_task(_outward(engine, pair))
    try:
        await _inward(pair, engine)
        async with asyncio.timeout(LINGER_S):
            await outward
    except (OSError, TimeoutError) as problem:
        log.debug("an exec connection ended: %s", problem)
    finally:
        outward.cancel()
        await asyncio.gather(outward, return_exceptions=True)
        engine.close()
        pair.close()


async def _inward(pair: socket.socket, engine: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(pair, _READ):
        await loop.sock_sendall(engine, data)
    engine.shutdown(socket.SHUT_WR)


async def _outward(engine: socket.socket, pair: socket.socket) -> None:
    """However it ends, the near side learns that nothing more will come."""
    pieces = _Pieces()
    try:
        await _carry_out(engine, pair, pieces)
    finally:
        if pieces.complaint:
            log.info("the exec in the sandbox said: %s", pieces.complaint)
        pair.shutdown(socket.SHUT_WR)


async def _carry_out(engine: socket.socket, pair: socket.socket, pieces: _Pieces) -> None:
    loop = asyncio.get_running_loop()
    demultiplexer = Demultiplexer(pieces.take)
    while data := await loop.sock_recv(engine, _READ):
        demultiplexer.feed(data)
        while pieces.stdout:
            await loop.sock_sendall(pair, pieces.stdout.popleft())


class _Pieces:
    """What came of the two streams: the bytes to carry on, and the last words of an error."""

    def __init__(self) -> None:
        self.stdout: deque[bytes] = deque()
        self.complaint = ""

    def take(self, stream: int, piece: memoryview) -> None:
        if stream == STDOUT:
            self.stdout.append(bytes(piece))
        else:
            words = bytes(piece).decode("utf-8", "replace")
            self.complaint = (self.complaint + words)[-_COMPLAINT:]
            self.complaint = "".join(c if c.isprintable() else " " for c in self.complaint)
