"""Whether the client of one sandbox answers on a transport: a handshake, not only a connection.

Broken forwardings accept connections and say nothing, or are another program's. So the probe goes
as far as the client's proof that it knows the secret, and leaves before it is attached.
"""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.channel import Channel, client_channel
from tether_runtime_client.protocol.errors import ProtocolError
from tether_runtime_client.protocol.server_side import ServerSide

from .base import Transport

Kind = Literal[
    "nowhere",
    "unreachable",
    "busy",
    "hop",
    "refused",
    "closed",
    "silent",
    "foreign",
    "stranger",
]
"""How far it went: there is no address; no way to it; another server has it; to a hop and not
behind it; nobody listens; taken and ended without a word; no answer in time; another program; a
runtime client that does not know the secret, or speaks another version."""


class NoAnswer(OSError):
    """The sandbox's client does not answer on this way. `refusal` is the error of a stranger."""

    def __init__(self, kind: Kind, message: str, refusal: ProtocolError | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.refusal = refusal


async def probe(transport: Transport, secret: str, timeout_s: float | None = None) -> float:
    """Shake hands as far as the client's proof; returns how long that took, in seconds.

    Raises `NoAnswer`, after `timeout_s` seconds (the transport's patience) at the latest.
    """
    limit = transport.patience_s if timeout_s is None else timeout_s
    began = time.monotonic()
    handshake = _Handshake(secret)
    try:
        async with asyncio.timeout(limit):
            await handshake.run(transport)
    except TimeoutError:
        raise handshake.out_of_time(limit) from None
    finally:
        await handshake.leave()
    return time.monotonic() - began


class _Handshake:
    """A channel `Receiver` for one probe."""

    def __init__(self, secret: str) -> None:
        self._rules = ServerSide(secret, auth.new_nonce(), {}, role="operator")
        self._channel: Channel | None = None
        self._began = 0.0
        self._proven: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, transport: Transport) -> None:
        try:
            connection = await transport.connect()
        except NoAnswer:
            raise
        except ConnectionRefusedError as problem:
            raise NoAnswer("refused", f"nobody listens there ({problem.strerror})") from None
        except TimeoutError as problem:
            if problem.errno is None:
                raise
            raise NoAnswer("unreachable", problem.strerror or str(problem)) from None
        except OSError as problem:
            raise NoAnswer("unreachable", problem.strerror or str(problem)) from None
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(
            lambda: client_channel("/events", self), sock=connection
        )
        self._channel = channel
        self._began = channel.heard
        await self._proven

    async def leave(self) -> None:
        """However it went, the connection is closed when this returns."""
        if self._channel is not None:
            self._channel.abort("the probe is over")
            await asyncio.shield(self._channel.closed)
        self._proven.cancel()

    def out_of_time(self, limit: float) -> NoAnswer:
        """What to say when there was no time left."""
        if self._channel is None:
            return NoAnswer("unreachable", f"no connection within {limit:g} s")
        return NoAnswer("silent", f"the connection is taken, and nobody answers in {limit:g} s")

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        channel.send_text(self._rules.hello())

    def on_text(self, text: bytes) -> None:
        """The challenge has the client's proof; anything else is an error."""
        try:
            self._rules.receive(text)
        except ProtocolError as error:
            self._fail(NoAnswer("stranger", error.message, error))
            return
        if not self._proven.done():
            self._proven.set_result(None)

    def on_binary(self, data: bytes) -> None:
        self._fail(NoAnswer("foreign", "what answers is no runtime client"))

    def on_pong(self) -> None:
        """Nobody asked."""

    def on_writable(self) -> None:
        """Nothing waits for this."""

    def on_close(self, reason: str) -> None:
        if self._channel is None or self._channel.heard == self._began:
            text = "the connection is taken and ended without a word (an empty reply)"
            self._fail(NoAnswer("closed", text))
        else:
            said = "".join(c for c in reason if c.isprintable())
            self._fail(NoAnswer("foreign", f"what answers is no runtime client: {said}"))

    def _fail(self, error: NoAnswer) -> None:
        if not self._proven.done():
            self._proven.set_exception(error)
