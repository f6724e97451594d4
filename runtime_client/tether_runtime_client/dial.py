"""Connects out to a server that listens, for places with no way in: a few connections on offer.

The server opens websockets, on any of them, when it needs one; each that it takes is served like
one that came in, and another is offered in its place. While nobody is there it is tried for ever,
more and more seldom.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

from .kept_secret import KeptSecret
from .protocol import auth, dialling
from .protocol.errors import ProtocolError
from .protocol.joint import Joints
from .protocol.limits import HANDSHAKE_TIMEOUT_S
from .protocol.lines import keep_alive, read_line
from .protocol.tls import secured, trusting

OFFERED = 4
"""Connections on offer at a time: so many can be opened at once without waiting for the network."""

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
"""Between attempts while nobody answers."""

MAX_PROXY_HEAD = 16 * 1024
DEFAULT_PROXY_PORT = 3128

log = logging.getLogger(__name__)

Serve = Callable[[socket.socket], Awaitable[None]]


class Dialler:
    """Keeps connections on offer at `address`, through an HTTP proxy where there is one.

    `serve` gets each that the server takes, a connected socket that is its own from then on.
    With an `authority` (PEM) it goes by TLS, and to no server but that authority's.
    """

    def __init__(
        self,
        address: tuple[str, int],
        secret: KeptSecret,
        serve: Serve,
        *,
        proxy: str | None = None,
        authority: str | None = None,
    ) -> None:
        self._address = address
        self._secret = secret
        self._serve = serve
        self._proxy = proxy
        self._trust = None if authority is None else trusting(authority)
        self._joints = Joints()
        self._attempts = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; what goes wrong is logged and tried again."""
        self._tasks = [asyncio.create_task(self._offer_for_ever()) for _ in range(OFFERED)]

    async def close(self) -> None:
        """Withdraw what is on offer; what was taken goes on, but for what goes by TLS."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._joints.close()

    async def _offer_for_ever(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                connection = await self._offer()
            except (OSError, ProtocolError, TimeoutError) as problem:
                level = logging.WARNING if pause == FIRST_PAUSE_S else logging.INFO
                log.log(level, "dialling %s:%d failed: %s", *self._address, problem or "no answer")
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))
                pause = min(2 * pause, LAST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            if connection is not None:
                await self._serve(connection)

    async def _offer(self) -> socket.socket | None:
        """A connection that the server has taken, or None when it let go of one on offer."""
        secret = self._secret_to_try()
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            connection = await self._connect(secret)
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._prove(connection, secret)
            taken = await read_line(connection, len(dialling.GO))
        except ConnectionResetError:
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        if taken == dialling.GO:
            return connection
        connection.close()
        return None

    def _secret_to_try(self) -> str:
        """In turns while there are two: the server listens for one of them."""
        accepted = self._secret.accepted
        self._attempts += 1
        return accepted[self._attempts % len(accepted)]

    async def _connect(self, secret: str) -> socket.socket:
        connection = await self._reach()
        if self._trust is None:
            return connection
        name = dialling.sandbox_id(secret)
        return await secured(connection, self._trust, self._joints, name)

    async def _reach(self) -> socket.socket:
        if self._proxy is None:
            return await _connected(*self._address)
        url = urlsplit(self._proxy)
        connection = await _connected(str(url.hostname), url.port or DEFAULT_PROXY_PORT)
        try:
            await _pass(connection, self._address, url.username, url.password)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _prove(self, connection: socket.socket, secret: str) -> None:
        loop = asyncio.get_running_loop()
        hello = await read_line(connection, dialling.MAX_LINE)
        said, expected = dialling.answer(hello, secret, auth.new_nonce())
        await loop.sock_sendall(connection, said)
        dialling.check_listener(await read_line(connection, len(expected)), expected)


async def _connected(host: str, port: int) -> socket.socket:
    """By whichever of the name's addresses answers first in their order."""
    loop = asyncio.get_running_loop()
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, number, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, number)
        connection.setblocking(False)
        try:
            keep_alive(connection)
            await loop.sock_connect(connection, address)
        except OSError as failed:
            connection.close()
            problem = failed
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise problem


async def _pass(
    connection: socket.socket, address: tuple[str, int], user: str | None, password: str | None
) -> None:
    """Ask the proxy for the way (HTTP CONNECT); raises `ConnectionError` when it refuses."""
    host, port = address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}")
    request = "\r\n".join([*lines, "", ""]).encode()
    await asyncio.get_running_loop().sock_sendall(connection, request)
    status = await read_line(connection, MAX_PROXY_HEAD)
    left = MAX_PROXY_HEAD
    while (line := await read_line(connection, left)).strip():
        left -= len(line)
    words = status.decode("latin-1").split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].startswith("2"):
        said = "".join(c for c in " ".join(words[1:]) if c.isprintable())[:200]
        raise ConnectionRefusedError(f"the proxy refuses the way to {target}: {said}")
