"""A port inside, reachable here."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal

from tether_runtime_client.protocol.accepting import Acceptor
from tether_runtime_client.protocol.errors import PortRefused, TetherError
from tether_runtime_client.protocol.port_actions import PortForwardAction
from tether_runtime_client.protocol.port_pump import pump, reset
from tether_runtime_client.protocol.port_sockets import at_once

from .guard import Admitted, Guard
from .listener import Listener
from .mapping import Mapping
from .options import Place, Protection
from .ready import ReadyStreams

if TYPE_CHECKING:
    from ..calls import Calls

MAX_CONNECTIONS = 256
"""Of one forward at a time; further ones wait in the kernel's queue."""


class Forward(Mapping):
    """A port inside, or a UNIX socket there, reachable here. Made by `runtime.forward`.

    `str()` of it is its `url`: `http://…`, `https://…` with TLS, and the path of a UNIX socket.
    `host`, `port` and `path` say the same in parts, and `address` as sockets take it. `token` is
    what is asked for, where it is. `counts` has the numbers of its connections.

    A connection that is refused inside is reset here, counted, and an event. While the client in
    the sandbox is away, as at a restart of the container, new connections wait for it, 30 s at
    most, and those that stood are reset. At most 256 stand at a time; further ones wait.
    """

    direction: ClassVar[Literal["forward", "reverse"]] = "forward"

    def __init__(
        self,
        calls: Calls,
        sandbox: str,
        target: tuple[int | None, str | None],
        where: Place,
        protection: Protection,
    ) -> None:
        super().__init__(calls, sandbox)
        self._target = target
        self.asked = where
        self.protection = protection
        self._listener = Listener(where)
        self._guard = Guard(protection)
        port, path = target
        action = PortForwardAction(port=port, path=path)
        self._ready = ReadyStreams(calls, action, self._lost)
        self._acceptor: Acceptor | None = None

    async def start(self) -> None:
        """Have a lease, then take connections. Frees everything when that fails."""
        try:
            await self._ready.lease.start()
            self._acceptor = Acceptor(self._listener.socket, self._meet)
            self._opened()
        except BaseException:
            self.closed = True
            await self._free()
            raise

    @property
    def inside(self) -> str:
        """The port's number inside, or the path of the socket."""
        port, path = self._target
        return path or str(port)

    @property
    def here(self) -> str:
        """The address in one word."""
        return str(self._listener.place)

    @property
    def host(self) -> str:
        """The address that is listened on; empty for a UNIX socket."""
        return self._listener.place.host

    @property
    def port(self) -> int:
        """The port here; 0 for a UNIX socket."""
        return self._listener.place.port

    @property
    def path(self) -> str | None:
        """The UNIX socket here."""
        return self._listener.place.path

    @property
    def address(self) -> tuple[str, int] | str:
        """What a socket is connected to: host and port, or a path."""
        return self.path or (self._reachable, self.port)

    @property
    def token(self) -> str | None:
        """What is asked of whoever connects."""
        return self.protection.token

    @property
    def protected(self) -> bool:
        """Whether a token or TLS is asked for."""
        return bool(self.protection)

    @property
    def url(self) -> str:
        """For HTTP; of a UNIX socket its path."""
        if self.path is not None:
            return self.path
        scheme = "http" if self.protection.tls is None else "https"
        return f"{scheme}://{Place(self._reachable, self.port)}"

    def cut(self) -> None:
        """Drop its lease's connection as a broken network would; it is made anew."""
        self._ready.lease.cut()

    # --- inside

    @property
    def _reachable(self) -> str:
        """Where a wildcard is reached from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def _protection_name(self) -> str:
        return str(self.protection)

    async def _meet(self, connection: socket.socket) -> None:
        try:
            at_once(connection)
            admitted = await self._guard.admit(connection)
        except (OSError, asyncio.CancelledError):  # or it took too long to show anything
            self.counts.turned_away += 1
            raise
        self._carry(asyncio.create_task(self._connect(admitted)))
        if self._acceptor is not None and len(self._tasks) >= MAX_CONNECTIONS:
            self._acceptor.pause()

    def _end_one(self, work: asyncio.Task[None]) -> None:
        super()._end_one(work)
        if self._acceptor is not None:
            self._acceptor.resume()

    async def _connect(self, admitted: Admitted) -> None:
        connection = admitted.connection
        try:
            stream = await self._ready.take()
        except BaseException as problem:
            admitted.on_broken()
            reset(connection)
            if isinstance(problem, TetherError):
                self._failed(problem)
                return
            raise
        self._health.succeeded()
        try:
            await pump(stream, connection, first=admitted.first, on_broken=admitted.on_broken)
        except PortRefused as problem:
            self._failed(problem)
        except TetherError:
            self.counts.broken += 1

    async def _free(self) -> None:
        if self._acceptor is not None:
            acceptor, self._acceptor = self._acceptor, None
            await acceptor.close()
        self._listener.close()
        await self._end_all()
        await self._ready.close()
        with suppress(OSError):
            await self._guard.close()
