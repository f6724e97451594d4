"""Through an SSH server, to an address that its machine reaches.

One SSH connection carries them all, each as a channel of its own (`direct-tcpip`). It is made when
it is first needed, and anew when it has gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.joint import Joints

from .base import Transport
from .probe import NoAnswer
from .settings import Ssh, join_address, split_ssh_host
from .tcp import Address

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    import asyncssh

LOGIN_TIMEOUT_S = 12.0
KEEP_ALIVE_S = 15
"""A server that is silent for three times as long is given up."""

_READ = 256 * 1024


class SshTransport(Transport):
    """Opens channels to the address that `find_address` names, as the SSH server's machine sees it.

    The SSH server's own key is checked, always.
    """

    name = "ssh"
    patience_s = 20.0

    def __init__(self, settings: Ssh, find_address: Callable[[], Awaitable[Address]]) -> None:
        assert settings.host is not None
        self._settings = settings
        self._host = settings.host
        self._find_address = find_address
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._joints = Joints()
        self._last: Address | None = None

    async def connect(self) -> socket.socket:
        """Open a channel; the error says whether SSH failed, or the hop behind it."""
        import asyncssh

        self._last = await self._find_address()
        connection = await self._logged_in()
        try:
            reader, writer = await connection.open_connection(*self._last, encoding=None)
        except asyncssh.ChannelOpenError as problem:
            raise NoAnswer("hop", self._hop_is_down(problem)) from None
        except (asyncssh.Error, OSError) as problem:
            raise NoAnswer("unreachable", f"SSH to {self._host} was lost: {problem}") from None
        return self._joints.join(_Channel(reader, writer, connection.get_extra_info("socket")))

    def describe(self) -> str:
        """The host, and the address behind it."""
        behind = join_address(*self._last) if self._last else "an address not yet known"
        return f"{behind} as {self._host} sees it"

    async def diagnose(self, problem: NoAnswer, secret: str) -> str:
        """Whether it is SSH, or what lies behind it."""
        if problem.kind not in ("closed", "silent", "foreign") or self._connection is None:
            return ""
        return f"SSH to {self._host} works: what is broken is the way from there to the container"

    async def close(self) -> None:
        """Close the channels, and the connection."""
        await self._joints.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            await connection.wait_closed()

    async def _logged_in(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._log_in()
            return self._connection

    async def _log_in(self) -> asyncssh.SSHClientConnection:
        import asyncssh

        try:
            return await asyncssh.connect(**self._options())
        except asyncssh.HostKeyNotVerifiable as problem:
            where = self._settings.known_hosts or "~/.ssh/known_hosts"
            text = f"the key of SSH server {self._host} is not the one in {where}: {problem.reason}"
            raise NoAnswer("unreachable", text) from None
        except (asyncssh.Error, OSError, ValueError) as problem:
            text = f"no SSH connection to {self._host}: {problem}"
            raise NoAnswer("unreachable", text) from None

    def _options(self) -> dict[str, Any]:
        user, host, port = split_ssh_host(self._host)
        settings = self._settings
        given = {
            "username": user,
            "port": port,
            "known_hosts": settings.known_hosts,
            "client_keys": [settings.key] if settings.key else None,
        }
        return {
            "host": host,
            "login_timeout": LOGIN_TIMEOUT_S,
            "connect_timeout": LOGIN_TIMEOUT_S,
            "keepalive_interval": KEEP_ALIVE_S,
            **{name: value for name, value in given.items() if value is not None},
        }

    def _hop_is_down(self, problem: asyncssh.ChannelOpenError) -> str:
        import asyncssh

        assert self._last is not None
        behind = join_address(*self._last)
        if problem.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            return (
                f"SSH to {self._host} works, and its server forbids going on to {behind}"
                " (AllowTcpForwarding, PermitOpen)"
            )
        return (
            f"SSH to {self._host} works, and the hop behind it is down: from there {behind} does"
            f" not answer ({problem.reason})"
        )


class _Channel:
    """A channel of SSH, a `FarEnd`."""

    def __init__(
        self,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
        carrier: TransportSocket,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._carrier = carrier

    async def read(self) -> bytes:
        import asyncssh

        try:
            data = await self._reader.read(_READ)
        except asyncssh.Error as problem:
            raise ConnectionError(str(problem)) from None
        self._acknowledge()
        return data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def _acknowledge(self) -> None:
        """Now, and not 40 ms later: OpenSSH's server sends the next small packet of a forwarding
        only then (Nagle's algorithm is off for its interactive sessions alone).
        """
        with suppress(OSError):  # a connection that is gone has nothing to acknowledge
            self._carrier.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def end(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()
