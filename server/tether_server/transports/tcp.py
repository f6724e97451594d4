"""A TCP address: a published port, or the container's own."""

from __future__ import annotations

import asyncio
import socket

from .base import Transport


class TcpTransport(Transport):
    """Connects to `host:port`, without Nagle's delay."""

    name = "tcp"

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def connect(self) -> socket.socket:
        """Connect; raises `OSError` when nothing listens."""
        connection = socket.socket(socket.AF_INET)
        connection.setblocking(False)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connection, (self._host, self._port))
        except BaseException:
            connection.close()
            raise
        return connection

    def describe(self) -> str:
        """The address."""
        return f"{self._host}:{self._port}"
