"""The event connection to one sandbox, kept alive: made, watched, and made anew when it goes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.channel import Channel, client_channel
from tether_runtime_client.protocol.errors import (
    ControllerBusy,
    Fenced,
    ProtocolError,
)
from tether_runtime_client.protocol.frames import (
    AckFrame,
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    Role,
    WelcomeFrame,
    encode,
)
from tether_runtime_client.protocol.server_side import Gap, Incoming, Replaced, ServerSide

from .transports import Transport

FIRST_RETRY_S = 0.02
LAST_RETRY_S = 2.0
PING_EVERY_S = 20.0
"""A connection silent for this long is pinged, and given up when silent for as long again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """The sandbox is gone, and how; `fenced` when it lives on and is another server's now."""

    reason: str
    exit_code: int | None = None
    fenced: bool = False


class LinkUser(Protocol):
    """What a link tells its owner, always on the loop."""

    def progress(self) -> dict[str, int]:
        """Per epoch the last event stored."""

    def on_connected(self, welcome: WelcomeFrame, outage_s: float) -> None:
        """Attached; replay follows. Submit again what has no answer yet."""

    def on_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> None:
        """The next numbered frame; each comes once, in order."""

    def on_rejected(self, frame: RejectedFrame) -> None:
        """A submission was not accepted."""

    def on_gap(self, gap: Gap) -> None:
        """Events that were trimmed before they were stored here."""

    def on_disconnected(self, reason: str) -> None:
        """The connection went; it is being made anew."""

    def on_ended(self, ended: Ended) -> None:
        """There will be no more connection: the sandbox is gone, or is another server's now."""


class Link:
    """One role's connection. `start` once, then `send_text` at any time, `close` at the end."""

    def __init__(
        self,
        transport: Transport,
        secret: str,
        user: LinkUser,
        ended: Callable[[], Awaitable[Ended | None]],
        *,
        role: Role = "controller",
        takeover: bool = False,
    ) -> None:
        self.transport = transport
        self._secret = secret
        self._user = user
        self._ended = ended
        self._role: Role = role
        self._takeover = takeover
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect for the first time; raises what stands against it, without a second try.

        `OSError` when nothing answers, `ProtocolError` when it is refused.
        """
        self._connection = await self._connect(outage_s=0.0)
        self._task = asyncio.create_task(self._maintain(), name="tether link")

    @property
    def connected(self) -> bool:
        """Whether the event connection stands at this moment."""
        return self._connection is not None and self._connection.attached.done()

    def send_text(self, text: bytes) -> None:
        """Send a frame if connected. If not, `on_connected` is the time to send it again."""
        if self._connection is not None:
            self._connection.send_text(text)

    def acknowledge(self, epoch: str, seq: int) -> None:
        """Tell the client what is stored."""
        self.send_text(encode(AckFrame(epoch=epoch, seq=seq)))

    def cut(self) -> None:
        """Drop the connection as a broken network would; it is made anew. For tests and drills."""
        if self._connection is not None:
            self._connection.abort("cut on request")

    async def close(self) -> None:
        """Close for good. Twice is safe."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._connection is not None:
            self._connection.abort("the runtime was closed")
            await self._connection.closed()
            self._connection = None

    async def _connect(self, outage_s: float) -> _Connection:
        rules = ServerSide(
            self._secret,
            auth.new_nonce(),
            self._user.progress(),
            role=self._role,
            takeover=self._takeover,
        )
        connection = _Connection(rules, self._user, outage_s)
        await connection.open(self.transport)
        return connection

    async def _maintain(self) -> None:
        assert self._connection is not None
        while True:
            reason = await self._connection.watch()
            self._user.on_disconnected(reason)
            if (ended := self._final_refusal()) is None:
                ended = await self._reconnect()
            if ended is not None:
                self._connection = None
                self._user.on_ended(ended)
                return

    def _final_refusal(self) -> Ended | None:
        assert self._connection is not None
        refusal = self._connection.refusal
        if isinstance(refusal, Fenced | ControllerBusy):
            return Ended(refusal.message, fenced=True)
        return None

    async def _reconnect(self) -> Ended | None:
        """Try until connected (None), or until the sandbox is known to be gone."""
        lost = time.monotonic()
        pause = FIRST_RETRY_S
        while True:
            try:
                self._connection = await self._connect(time.monotonic() - lost)
                return None
            except (Fenced, ControllerBusy) as refusal:
                return Ended(refusal.message, fenced=True)
            except (OSError, ProtocolError, TimeoutError) as problem:
                log.debug("reconnecting failed: %s", problem)
            ended = await self._ended()
            if ended is not None:
                return ended
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, LAST_RETRY_S)


class _Connection:
    """One websocket's life. A channel `Receiver`."""

    def __init__(self, rules: ServerSide, user: LinkUser, outage_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._rules = rules
        self._user = user
        self._outage_s = outage_s
        self._channel: Channel | None = None
        self._heard = loop.time()
        self._lost: asyncio.Future[str] = loop.create_future()
        self.attached: asyncio.Future[None] = loop.create_future()
        self.caught_up: asyncio.Future[None] = loop.create_future()
        self.refusal: ProtocolError | None = None

    async def open(self, transport: Transport) -> None:
        """Connect and shake hands; raises `OSError` or `ProtocolError`."""
        connection = await transport.connect()
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(
            lambda: client_channel("/events", self), sock=connection
        )
        self._channel = channel
        try:
            await self.attached
            await self.caught_up
        except BaseException:
            channel.abort()
            raise

    async def watch(self) -> str:
        """Return when the connection is lost, with the reason; ping it when it is silent."""
        loop = asyncio.get_running_loop()
        while True:
            done, _ = await asyncio.wait([self._lost], timeout=PING_EVERY_S)
            if done:
                return self._lost.result()
            silent = loop.time() - self._heard
            if silent > 2 * PING_EVERY_S:
                self.abort(f"no sign of life for {silent:.0f} s")
            elif silent > PING_EVERY_S / 2 and self._channel is not None:
                self._channel.ping()

    def send_text(self, text: bytes) -> None:
        """Send a frame once attached."""
        if self._channel is not None and self.attached.done():
            self._channel.send_text(text)

    def abort(self, reason: str) -> None:
        """Drop the connection."""
        if self._channel is not None:
            self._channel.abort(reason)

    async def closed(self) -> None:
        """Return when the socket is closed."""
        if self._channel is not None:
            await asyncio.shield(self._channel.closed)

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        """Say hello."""
        self._channel = channel
        channel.send_text(self._rules.hello())

    def on_text(self, text: bytes) -> None:
        """Feed the rules, hand on what came."""
        self._heard = asyncio.get_running_loop().time()
        try:
            incoming, answer = self._rules.receive(text)
        except ProtocolError as error:
            self._refuse(error)
            return
        if answer is not None and self._channel is not None:
            self._channel.send_text(answer)
        for item in incoming:
            self._hand_on(item, text)
        if not self.caught_up.done() and self._rules.caught_up:
            self.caught_up.set_result(None)

    def on_binary(self, data: bytes) -> None:
        """There are none on this connection."""
        self._refuse(ProtocolError("the client sent bytes on the event connection"))

    def on_pong(self) -> None:
        """The client is there."""
        self._heard = asyncio.get_running_loop().time()

    def on_writable(self) -> None:
        """Submissions are small; nothing waits for this."""

    def on_close(self, reason: str) -> None:
        """Wake who waits for the handshake or watches."""
        if not self._lost.done():
            self._lost.set_result(reason)
        self._fail(ConnectionError(f"the connection was lost at its start: {reason}"))

    def _hand_on(self, item: Incoming, raw: bytes) -> None:
        match item:
            case EventFrame() | ObservationFrame():
                self._user.on_frame(item, raw)
            case RejectedFrame():
                self._user.on_rejected(item)
            case Replaced():
                self._user.on_frame(item.frame, item.raw)
            case Gap():
                self._user.on_gap(item)
            case WelcomeFrame():
                self.attached.set_result(None)
                self._user.on_connected(item, self._outage_s)

    def _refuse(self, error: ProtocolError) -> None:
        """What came is unusable, or is the client's refusal: this connection ends."""
        self.refusal = error
        self._fail(error)
        self.abort(error.message)

    def _fail(self, error: Exception) -> None:
        """Tell whoever waits in `open`, whichever of the two it waits for."""
        waited_for = self.caught_up if self.attached.done() else self.attached
        if not waited_for.done():
            waited_for.set_exception(error)
