"""The default on a local engine: a UNIX socket in a folder both sides see."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

from .base import Transport


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
                raise OSError(f"{self._path} is not a socket")
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(connection, f"/proc/self/fd/{descriptor}")
            except BaseException:
                connection.close()
                raise
            return connection
        finally:
            os.close(descriptor)

    def describe(self) -> str:
        """The path."""
        return str(self._path)
