"""A TCP address: a published port, or the container's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.joint import Joints
from tether_runtime_client.protocol.tls import secured, trusting

from .base import Transport
from .probe import NoAnswer

if TYPE_CHECKING:
    from .forwarding import Forwarding

Address = tuple[str, int]


class Tls:
    """TLS to the client of one sandbox, for every transport that leads to its port."""

    def __init__(self, authority: str) -> None:
        self._context = trusting(authority)
        self._joints = Joints()

    async def secure(self, connection: socket.socket) -> socket.socket:
        """A socket for what goes through TLS; raises `OSError` when it is another's certificate."""
        return await secured(connection, self._context, self._joints, "client")

    async def close(self) -> None:
        """End what still goes through it. Twice is safe."""
        await self._joints.close()


class TcpTransport(Transport):
    """Connects to the address that `find_address` names, without Nagle's delay.

    An engine publishes a port anew when a container is restarted: the address is asked for each
    time. `find_address` raises `OSError` while there is none. `forwarding` is what lies behind a
    published port.
    """

    name = "tcp"

    def __init__(
        self,
        find_address: Callable[[], Awaitable[Address]],
        forwarding: Forwarding | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._tls = tls
        self._find_address = find_address
        self._forwarding = forwarding
        self._last: Address | None = None

    async def connect(self) -> socket.socket:
        """Connect; raises `OSError` when nothing listens."""
        try:
            self._last = await self._find_address()
        except OSError as problem:
            raise NoAnswer("nowhere", problem.strerror or str(problem)) from None
        made = await connected(socket.socket(socket.AF_INET), *self._last)
        return await self._tls.secure(made) if self._tls else made

    async def diagnose(self, problem: NoAnswer, secret: str) -> str:
        """Which piece of a forwarding is broken."""
        if self._forwarding is None or problem.kind == "nowhere":
            return ""
        return await self._forwarding.diagnose(problem, secret)

    async def close(self) -> None:
        """End what goes by TLS."""
        if self._tls is not None:
            await self._tls.close()

    def describe(self) -> str:
        """The address."""
        return "{}:{}".format(*self._last) if self._last else "an address not yet known"


async def connected(made: socket.socket, host: str, port: int) -> socket.socket:
    """Connect a socket, non-blocking from then on; it is closed when that fails."""
    made.setblocking(False)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, (host, port))
    except BaseException:
        made.close()
        raise
    return made
