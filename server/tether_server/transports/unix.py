"""The default on a local engine: a UNIX socket in a folder both sides see."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from pathlib import Path

from .base import NotTheClient, Transport

QUEUE_TIMEOUT_S = 5.0
"""How long a client may take to make room among the connections it has not accepted yet."""


class UnixTransport(Transport):
    """Connects to a socket the sandbox made, in a folder where it can put anything.

    The path is opened without following links and checked to be a socket; the connection goes
    through that descriptor. So a planted link leads nowhere, and long paths work.
    """

    name = "unix"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def connect(self) -> socket.socket:
        """Connect; raises `OSError` while no client listens."""
        descriptor = os.open(self._path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                raise NotTheClient(f"{self._path} is not a socket")
            return _connect_now(descriptor) or await _connect_patiently(descriptor)
        finally:
            os.close(descriptor)

    def describe(self) -> str:
        """The path."""
        return str(self._path)


def _connect_now(descriptor: int) -> socket.socket | None:
    """A connection, or None when the listener's queue is full at this moment."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}")
    except BlockingIOError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect_patiently(descriptor: int) -> socket.socket:
    """A full queue cannot be waited for by polling the socket: the kernel calls it writable."""
    own = os.dup(descriptor)
    waiting = asyncio.create_task(asyncio.to_thread(_connect_waiting, own))
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        waiting.add_done_callback(_close_unwanted)
        raise


def _connect_waiting(descriptor: int) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        limit = struct.pack("ll", int(QUEUE_TIMEOUT_S), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.connect(f"/proc/self/fd/{descriptor}")
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(descriptor)
    return connection


def _close_unwanted(waiting: asyncio.Task[socket.socket]) -> None:
    """Whoever asked for it was cancelled before the client took it."""
    if not waiting.cancelled() and waiting.exception() is None:
        waiting.result().close()
