"""Where the client listens: a UNIX socket, a TCP port, or both; `/events` and `/bulk` on each."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from .protocol.bulk import BulkStream
from .protocol.channel import Channel, Receiver, server_channel
from .tickets import Tickets

MAX_CONNECTIONS = 512
"""Open at once, all kinds together; further ones get a 404."""

BACKLOG = 128
GOING_AWAY = 1001
CLOSE_TIMEOUT_S = 2.0


class Endpoint:
    """The listening sockets and the connections they accepted."""

    def __init__(self, make_connection: Callable[[], Receiver], tickets: Tickets) -> None:
        self._make_connection = make_connection
        self._tickets = tickets
        self._servers: list[asyncio.Server] = []
        self._channels: set[Channel] = set()
        self._presenting: set[asyncio.Task[None]] = set()

    async def listen_unix(self, path: Path) -> None:
        """Listen at `path`; a stale socket there is removed, anything else is an error.

        The path is reached through its folder's descriptor: the kernel takes 107 bytes at most.
        """
        listener = _bind_unix(path)
        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_unix_server(self._accept, sock=listener, backlog=BACKLOG)
        )

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listen on a TCP address; returns the port (useful when asked for 0)."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._accept, host, port, reuse_address=True, backlog=BACKLOG
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and close every connection in good order: what was sent arrives."""
        for server in self._servers:
            server.close()
        for channel in list(self._channels):
            channel.close("the runtime client stops", GOING_AWAY)
        if self._channels:
            await asyncio.wait([c.closed for c in self._channels], timeout=CLOSE_TIMEOUT_S)
        for task in self._presenting:
            task.cancel()
        await asyncio.gather(*self._presenting, return_exceptions=True)

    def _accept(self) -> Channel:
        channel = server_channel(self._route)
        self._channels.add(channel)
        channel.closed.add_done_callback(lambda _: self._channels.discard(channel))
        return channel

    def _route(self, path: str) -> Receiver | None:
        if len(self._channels) > MAX_CONNECTIONS:
            return None
        if path == "/events":
            return self._make_connection()
        if path == "/bulk":
            return self._receive_bulk()
        return None

    def _receive_bulk(self) -> BulkStream:
        stream = BulkStream()
        task = asyncio.create_task(self._tickets.present(stream))
        self._presenting.add(task)
        task.add_done_callback(self._presenting.discard)
        return stream


def _bind_unix(path: Path) -> socket.socket:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(folder, path.name)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        # Who may connect is decided by the secret, and on the host by the folder above.
        os.chmod(path.name, 0o666, dir_fd=folder)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    listener.setblocking(False)
    return listener


def _remove_stale(folder: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{name} is in the way of the socket and is not a socket")
    os.unlink(name, dir_fd=folder)
