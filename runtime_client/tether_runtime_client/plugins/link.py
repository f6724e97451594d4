"""The client's end of the socket to a plugin's process. What comes from there is hostile."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from ..plugin.wire import Frames, pack
from ..protocol.message import Message

READ = 64 * 1024
"""Bytes that are read before others get their turn: a thousand small events."""

REST = 4 * 1024 * 1024
"""Bytes that are looked for in the socket of a process that has ended."""

PIECE = 256 * 1024
"""Bytes that are written at once: more than a socket takes."""

HIGH = 1024 * 1024
"""Bytes that wait to be written before who can wait has to."""

MOST = 64 * 1024 * 1024
"""Bytes that may wait to be written in all, answers included, to one who does not read."""


log = logging.getLogger(__name__)


class Link:
    """Frames both ways, on the loop. One owner; `close` at the end.

    `on_frame` gets each frame's body. `on_broken` is called once, with what is wrong: there is no
    more to come then.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_frame: Callable[[bytes], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._on_frame = on_frame
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._waiting = bytearray()
        self._drained = asyncio.Event()
        self._drained.set()
        self._reading = False
        self._over = False
        connection.setblocking(False)
        self.resume()

    @property
    def is_held(self) -> bool:
        """Whether nothing is read at the moment."""
        return not self._reading

    def pause(self) -> None:
        """Read no more: who tells more than the socket holds has to wait. Twice is safe."""
        if self._reading:
            self._loop.remove_reader(self._connection)
            self._reading = False

    def resume(self) -> None:
        """Undo that. Twice is safe."""
        if not self._reading and not self._over:
            self._loop.add_reader(self._connection, self._read)
            self._reading = True

    def send(self, frame: Message) -> None:
        """Write it as soon as it is taken. Raises `ValueError` for one that is too long."""
        data = pack(frame)
        if self._over:
            return
        if len(self._waiting) + len(data) > MOST:
            self._break("it does not read what it asks for")
            return
        self._waiting += data
        self._write()

    async def room(self) -> None:
        """Return when little waits to be written, or nothing is written any more.

        Of several who wait the first to go on may fill it again.
        """
        while not self._drained.is_set():
            await self._drained.wait()

    def read_rest(self) -> None:
        """Take what its process has left in the socket, and nothing that others write meanwhile:
        more than a socket holds it cannot be.
        """
        for _ in range(REST // READ):
            if self._over or not self._read():
                return

    def close(self) -> None:
        """Twice is safe."""
        self._end()
        self._connection.close()

    def _read(self) -> bool:
        """Read a piece and hand on what is whole; False when there is nothing more at present."""
        try:
            data = self._connection.recv(READ)
        except BlockingIOError:
            return False
        except OSError:  # reset: it has not read all that it was sent
            data = b""
        if not data:
            self._break("")
            return False
        self._frames.feed(data)
        try:
            while not self._over and (body := self._frames.next()) is not None:
                self._on_frame(body)
        except ValueError as problem:
            self._break(f"it sent what is no frame: {problem}")
        except Exception:
            log.exception("what a plugin said was not understood")
            self._break("what it said could not be taken in: a defect of the runtime client's")
        return True

    def _write(self) -> None:
        try:
            while self._waiting:
                count = self._connection.send(self._waiting[:PIECE])
                del self._waiting[:count]
        except BlockingIOError:
            self._loop.add_writer(self._connection, self._write)
        except OSError:  # its end, or its process's, is told by reading
            self._waiting.clear()
        if not self._waiting:
            self._loop.remove_writer(self._connection)
        if len(self._waiting) <= HIGH:
            self._drained.set()
        else:
            self._drained.clear()

    def _break(self, problem: str) -> None:
        """An empty `problem` is a plain end of the connection."""
        if not self._over:
            self._end()
            self._on_broken(problem)

    def _end(self) -> None:
        if not self._over:
            self.pause()
            self._loop.remove_writer(self._connection)
            self._over = True
            self._waiting.clear()
            self._drained.set()
