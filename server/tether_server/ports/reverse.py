"""A port of here, reachable inside."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import TYPE_CHECKING, ClassVar, Literal

from tether_runtime_client.protocol.bulk import BulkStream
from tether_runtime_client.protocol.errors import PortRefused, TetherError
from tether_runtime_client.protocol.message import changed
from tether_runtime_client.protocol.port_actions import PortReverseAction
from tether_runtime_client.protocol.port_frames import BeginFrame
from tether_runtime_client.protocol.port_pump import pump, reset
from tether_runtime_client.protocol.port_sockets import reason

from .lease import Lease
from .mapping import Mapping
from .options import Place

if TYPE_CHECKING:
    from ..calls import Calls

MAX_CONNECTIONS = 128
"""Of one reverse at a time. The sandbox is not heard while there are so many."""

CONNECT_TIMEOUT_S = 10.0


class Reverse(Mapping):
    """A port of here, or a UNIX socket, that the sandbox can connect to. Made by `runtime.reverse`.

    `str()` of it is its address inside: `port` and `host`, or `path`. What is behind it is fixed
    here; the sandbox reaches that and nothing else. At most 128 connections stand at a time.
    """

    direction: ClassVar[Literal["forward", "reverse"]] = "reverse"

    def __init__(
        self,
        calls: Calls,
        sandbox: str,
        target: tuple[int | None, str | None],
        host: str,
        inside: Place,
    ) -> None:
        super().__init__(calls, sandbox)
        port, path = target
        self.target = Place(host, port or 0, path)
        self.asked = inside
        self._place = inside
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._action = PortReverseAction(
            owner=secrets.token_urlsafe(12),
            port=None if inside.path else inside.port,
            bind=inside.host or "127.0.0.1",
            path=inside.path,
        )
        self._lease = Lease(
            calls,
            self._action,
            on_tickets=self._on_tickets,
            on_change=lambda: None,
            on_failed=self._lost,
        )

    async def start(self) -> None:
        """Have the sandbox listen; raises why it does not."""
        try:
            ready = await self._lease.start()
        except BaseException:
            self.closed = True
            await self._free()
            raise
        if self._place.path is None and ready.port is not None:
            self._place = Place(self._place.host, ready.port)
            # A client that is started anew is to listen where the former did.
            self._lease.action = changed(self._action, port=ready.port)
        self._opened()

    @property
    def inside(self) -> str:
        """The address inside in one word."""
        return str(self._place)

    @property
    def here(self) -> str:
        """Where it leads."""
        return str(self.target)

    @property
    def host(self) -> str:
        """The address inside; empty for a UNIX socket."""
        return self._place.host

    @property
    def port(self) -> int:
        """The port inside; 0 for a UNIX socket."""
        return self._place.port

    @property
    def path(self) -> str | None:
        """The UNIX socket inside."""
        return self._place.path

    @property
    def url(self) -> str:
        """For HTTP, from inside; of a UNIX socket its path."""
        return self._place.path or f"http://{self._place}"

    def cut(self) -> None:
        """Drop its lease's connection as a broken network would; it is made anew."""
        self._lease.cut()

    # --- inside

    async def _on_tickets(self, tickets: tuple[str, ...]) -> None:
        """Somebody has connected inside, once for each. What comes from there is hostile: while
        there is no room no more is read.
        """
        for ticket in tickets:
            await self._room.acquire()
            task = asyncio.create_task(self._connect(ticket))
            task.add_done_callback(lambda _: self._room.release())
            self._carry(task)

    async def _connect(self, ticket: str) -> None:
        try:
            stream = await self._calls._bulk.connect(ticket)
        except TetherError as problem:
            self._failed(problem)
            return
        try:
            connection = await _connected(self.target)
        except OSError as problem:
            refused = PortRefused(f"{self.target} takes no connection: {reason(problem)}")
            stream.refuse(refused)
            self._failed(refused)
        except BaseException:
            stream.abort("the connection was given up")
            raise
        else:
            self._health.succeeded()
            await self._serve(stream, connection)

    async def _serve(self, stream: BulkStream, connection: socket.socket) -> None:
        try:
            stream.send(BeginFrame())
        except TetherError:  # whoever connected has gone, or never was
            reset(connection)
            self.counts.broken += 1
            return
        try:
            await pump(stream, connection)
        except TetherError:
            self.counts.broken += 1

    async def _free(self) -> None:
        await self._lease.close()
        await self._end_all()


async def _connected(where: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    connection = socket.socket(socket.AF_UNIX if where.path else family)
    connection.setblocking(False)
    address: object = where.path or (where.host, where.port)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(connection, address)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection
