"""Connections accepted as sockets, for what is to be settled on them before they are used."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable

from .errors import ProtocolError
from .limits import HANDSHAKE_TIMEOUT_S

MAX_STRANGERS = 256
"""Connections at a time with which nothing is settled yet; past it the oldest has to go."""

ROOM_AFTER_S = 1.0
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)

Meet = Callable[[socket.socket], Awaitable[None]]


class Acceptor:
    """Accepts on a listening socket, which is its own from then on, until `close`.

    `meet` gets each connection, non-blocking, and has ten seconds. Once it returns the connection
    is whoever's it gave it to; when it raises `OSError` or `ProtocolError` it is closed.
    """

    def __init__(self, listening: socket.socket, meet: Meet) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._meet = meet
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._paused = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def pause(self) -> None:
        """Accept no more for now: who connects waits in the kernel's queue. Twice is safe."""
        self._paused = True
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)

    def resume(self) -> None:
        """Accept again. Twice is safe."""
        if self._paused:
            self._paused = False
            self._accept_again()

    async def close(self) -> None:
        """Listen no more, and drop what is not settled. Twice is safe."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()
        for task in self._strangers:
            task.cancel()
        await asyncio.gather(*self._strangers, return_exceptions=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as problem:
            self._wait_for_room(problem)
            return
        connection.setblocking(False)
        if len(self._strangers) >= MAX_STRANGERS:
            next(iter(self._strangers)).cancel()
        task = asyncio.create_task(self._settle(connection))
        self._strangers[task] = None
        task.add_done_callback(lambda done: self._strangers.pop(done, None))
        # Also when it was cancelled before it began.
        task.add_done_callback(lambda done: connection.close() if done.cancelled() else None)

    async def _settle(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._meet(connection)
        except (OSError, ProtocolError) as problem:  # running out of time is an OSError too
            log.info("a connection was dropped: %s", problem or "it took too long")
            connection.close()

    def _wait_for_room(self, problem: OSError) -> None:
        """It went again, or there are too many descriptors: then it is still there to be taken."""
        log.warning("a connection was not accepted: %s", problem)
        if problem.errno in _NO_ROOM:
            self._loop.remove_reader(self._listening)
            self._loop.call_later(ROOM_AFTER_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0 and not self._paused:
            self._loop.add_reader(self._listening, self._accept)
