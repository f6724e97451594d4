"""Lines on a socket that is going to be a websocket's: not a byte more is read than the line."""

from __future__ import annotations

import asyncio
import socket

KEEP_ALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Idle connections are forgotten by what is between; and this end learns that the other is gone."""


def keep_alive(connection: socket.socket) -> None:
    """Have the kernel ask, every quarter of a minute, whether the other end of TCP is there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in KEEP_ALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def read_line(connection: socket.socket, limit: int) -> bytes:
    """The next line, its line feed included, or what there is of it at the end of the stream.

    It is looked at before it is taken, so that what follows it stays in the socket. Raises
    `ConnectionError` for one of more than `limit` bytes.
    """
    line = b""
    while not line.endswith(b"\n"):
        if len(line) >= limit:
            raise ConnectionError(f"a line of more than {limit} bytes")
        await readable(connection)
        seen = connection.recv(limit - len(line), socket.MSG_PEEK)
        if not seen:
            break
        end = seen.find(b"\n") + 1
        line += connection.recv(end or len(seen))
    return line


async def readable(connection: socket.socket) -> None:
    """Return when there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    loop.add_reader(connection, woken.set)
    try:
        await woken.wait()
    finally:
        loop.remove_reader(connection)
