"""A plugin's end of the socket to its client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from ..protocol.message import Message
from .wire import Frames, pack

_READ = 256 * 1024


class Link:
    """Frames out from any thread, frames in on the loop.

    A client that is behind is waited for in `send`: so a plugin that tells more than is taken goes
    at the pace of whoever takes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._frames = Frames()

    def send(self, frame: Message) -> None:
        """Write all of it. Raises `ValueError` for a frame that is too long, `OSError` when the
        client has gone.
        """
        data = pack(frame)
        with self._lock:
            self._connection.sendall(data)

    def read(self, on_frame: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Call `on_frame` for each frame from now on, and `on_end` once when the client is gone."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._connection, self._on_readable, loop, on_frame, on_end)

    def _on_readable(
        self,
        loop: asyncio.AbstractEventLoop,
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        try:  # the socket itself stays one that waits, for `send`
            data = self._connection.recv(_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(self._connection)
            on_end()
            return
        self._frames.feed(data)
        while (body := self._frames.next()) is not None:
            on_frame(body)
