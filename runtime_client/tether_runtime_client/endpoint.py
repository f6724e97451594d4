"""Where the client listens: a UNIX socket, a TCP port, or both; `/events` and `/bulk` on each."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

from .protocol.accepting import Acceptor
from .protocol.bulk import BulkStream
from .protocol.channel import Channel, Receiver, server_channel
from .protocol.joint import Joints
from .protocol.tls import secured
from .tickets import Tickets

MAX_CONNECTIONS = 512
"""Open at once, all kinds together; further ones get a 404."""

MAX_STRANGERS = 256
"""Of them, those that have not shown a secret or a ticket yet; past it the oldest has to go."""

CLOSE_GRACE_S = 2.0
"""How long the peers have, when the client stops, to take what was sent to them."""

BACKLOG = 128
GOING_AWAY = 1001

log = logging.getLogger(__name__)
CLOSE_TIMEOUT_S = 2.0


class Endpoint:
    """The listening sockets and the connections they accepted."""

    def __init__(self, make_connection: Callable[[], Receiver], tickets: Tickets) -> None:
        self._make_connection = make_connection
        self._tickets = tickets
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[Acceptor] = []
        self._joints = Joints()
        self._sockets: list[tuple[Path, int]] = []
        self._channels: dict[Channel, None] = {}
        self._presenting: set[asyncio.Task[None]] = set()

    async def listen_unix(self, path: Path) -> None:
        """Listen at `path`; a stale socket there is removed, anything else is an error.

        The path is reached through its folder's descriptor: the kernel takes 107 bytes at most.
        """
        listener, inode = _bind_unix(path)
        self._sockets.append((path, inode))
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

    def listen_tls(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """The same by TLS, and for nobody who does without."""
        listening = socket.create_server((host, port), backlog=BACKLOG)

        async def meet(connection: socket.socket) -> None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.serve(await secured(connection, context, self._joints))

        self._acceptors.append(Acceptor(listening, meet))
        return int(listening.getsockname()[1])

    async def serve(self, connection: socket.socket) -> None:
        """Serve one that came to be in another way, as if it had been accepted here."""
        await asyncio.get_running_loop().connect_accepted_socket(self._accept, connection)

    async def close(self) -> None:
        """Stop listening, and close every connection in good order: what was sent arrives."""
        for server in self._servers:
            server.close()
        for acceptor in self._acceptors:
            await acceptor.close()
        for path, inode in self._sockets:
            _remove_own(path, inode)
        for task in self._presenting:
            task.cancel()
        await asyncio.gather(*self._presenting, return_exceptions=True)
        await self._close_channels()
        await self._joints.close()

    async def _close_channels(self) -> None:
        channels = list(self._channels)
        for channel in channels:
            channel.close("the runtime client stops", GOING_AWAY)
        if channels:
            await asyncio.wait([channel.closed for channel in channels], timeout=CLOSE_GRACE_S)
        for channel in channels:
            channel.abort("the runtime client stops")

    def _accept(self) -> Channel:
        strangers = [channel for channel in self._channels if not channel.trusted]
        if len(strangers) >= MAX_STRANGERS:
            del self._channels[strangers[0]]
            strangers[0].abort("too many connections that show no secret")
        channel = server_channel(self._route)
        self._channels[channel] = None
        channel.closed.add_done_callback(lambda _: self._channels.pop(channel, None))
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


def _bind_unix(path: Path) -> tuple[socket.socket, int]:
    """The bound socket, and the inode of its file."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(folder, path.name)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        # Who may connect is decided by the secret, and on the host by the folder above.
        os.chmod(path.name, 0o666, dir_fd=folder)
        inode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_ino
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    listener.setblocking(False)
    return listener, inode


def _remove_stale(folder: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{name} is in the way of the socket and is not a socket")
    os.unlink(name, dir_fd=folder)


def _remove_own(path: Path, inode: int) -> None:
    """Remove a socket on the way out, unless another client has put its own there."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except OSError as problem:
        log.debug("the socket %s was not removed: %s", path, problem)
