"""A socket for a pipe that is none: what is written to one comes out of the other, both ways."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol

LINGER_S = 30.0
_READ = 256 * 1024

log = logging.getLogger(__name__)


class FarEnd(Protocol):
    """The pipe that leads to the client. Each method raises `OSError` once it is gone."""

    async def read(self) -> bytes:
        """The next bytes; none at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of them; returns when more can be sent."""

    async def end(self) -> None:
        """There is nothing more to send; what comes back still does."""

    def close(self) -> None:
        """Free it."""


class Joints:
    """Joins pipes to sockets. What is being carried is cancelled by `close`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, far: FarEnd) -> socket.socket:
        """One end of a socket pair whose other end is joined to `far`, which is closed then."""
        near, pair = socket.socketpair()
        near.setblocking(False)
        pair.setblocking(False)
        task = asyncio.create_task(_join(far, pair))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not in the task: it may be cancelled before it begins.
        task.add_done_callback(lambda _: far.close())
        task.add_done_callback(lambda _: pair.close())
        return near

    async def close(self) -> None:
        """End them all. Twice is safe."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _join(far: FarEnd, pair: socket.socket) -> None:
    """Carry bytes both ways until both are at their end; a half-close is passed on.

    Once the near side has said all it has, the far one gets a while to do the same: a process in
    the sandbox that does not end must not hold the connection for ever.
    """
    outward = asyncio.create_task(_outward(far, pair))
    try:
        await _inward(pair, far)
        async with asyncio.timeout(LINGER_S):
            await outward
    except (OSError, TimeoutError) as problem:
        log.debug("a joined connection ended: %s", problem)
    finally:
        outward.cancel()
        await asyncio.gather(outward, return_exceptions=True)


async def _inward(pair: socket.socket, far: FarEnd) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(pair, _READ):
        await far.write(data)
    await far.end()


async def _outward(far: FarEnd, pair: socket.socket) -> None:
    """However it ends, the near side learns that nothing more will come."""
    loop = asyncio.get_running_loop()
    try:
        while data := await far.read():
            await loop.sock_sendall(pair, data)
    finally:
        pair.shutdown(socket.SHUT_WR)
