"""The event connection to one sandbox, kept alive: made, watched, and made anew when it goes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.channel import Channel, client_channel
from tether_runtime_client.protocol.errors import (
    ControllerBusy,
    Fenced,
    ProtocolError,
    RotationFailed,
    RuntimeClosed,
    SecretExpired,
    StateUnusable,
    Unauthorized,
    UnexpectedFrame,
)
from tether_runtime_client.protocol.frames import (
    AckFrame,
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    Role,
    RotatedFrame,
    RotatingFrame,
    WelcomeFrame,
    encode,
)
from tether_runtime_client.protocol.rotation import Agreed
from tether_runtime_client.protocol.server_side import Gap, Incoming, Replaced, ServerSide

from .backoff import LAST_RETRY_S, Backoff
from .link_user import Ended as Ended
from .link_user import LinkUser as LinkUser
from .link_user import Obstacles
from .rotation import UNCHANGED, Rotation
from .transports import Transport

PING_EVERY_S = 20.0
"""A connection silent for this long is pinged, and given up when silent for as long again."""

ATTACH_TIMEOUT_S = 15.0
"""How long an attempt to connect may take until the client's welcome."""

BUSY_GRACE_S = 10.0
"""After an outage the place may be held by this server's own former connection, which the client
has not seen die, for as long as a probe takes.
"""

NOT_CONFIRMED = "the new secret is stored, and the sandbox has not confirmed it yet"
WHEN_CONFIRMED = "The former one is refused as soon as a connection was made by the new one"

log = logging.getLogger(__name__)


class Link:
    """One role's connection. `start` once, then `send_text` at any time, `close` at the end.

    `on_silent` is called when a connection is given up that no end of was told: others over the
    same way, which nobody pings, may be as dead.
    """

    def __init__(
        self,
        transport: Transport,
        secret: Callable[[], str],
        user: LinkUser,
        ended: Callable[[], Awaitable[Ended | None]],
        *,
        role: Role = "controller",
        takeover: bool = False,
        on_silent: Callable[[], None] | None = None,
    ) -> None:
        self.transport = transport
        self._on_silent = on_silent
        self._secret = secret
        self._user = user
        self._ended = ended
        self._role: Role = role
        self._takeover = takeover
        self._connection: _Connection | None = None
        self._tried = ""
        self._made = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def start(self) -> None:
        """Connect for the first time and take what there is to replay; one try.

        Raises `OSError` when nothing answers, `ProtocolError` when it is refused.
        """
        try:
            connection = await self._connect(outage_s=0.0)
        except Unauthorized:
            if self._tried == self._secret():
                raise
            connection = await self._connect(outage_s=0.0)  # it was changed at this very moment
        try:
            await connection.caught_up
        except BaseException:
            connection.abort("the start was given up")
            raise
        self._task = asyncio.create_task(self._run(), name="tether link")

    @property
    def connected(self) -> bool:
        """Whether the event connection stands at this moment."""
        return self._connection is not None and self._connection.is_up

    def send_text(self, text: bytes) -> None:
        """Send a frame if connected. If not, `on_connected` is the time to send it again."""
        if self._connection is not None:
            self._connection.send_text(text)

    def acknowledge(self, epoch: str, seq: int) -> None:
        """Tell the client what is stored."""
        self.send_text(encode(AckFrame(epoch=epoch, seq=seq)))

    def cut(self, reason: str = "cut on request") -> None:
        """Drop the connection as a broken network would; it is made anew."""
        if self._connection is not None:
            self._connection.abort(reason)

    async def rotate(self, store: Callable[[str], None]) -> None:
        """Agree with the client on another secret than the present one, and `store` it.

        `store` is called once the client takes both. Returns when it refuses the former; the
        connection stays. Raises `RotationFailed`, and what `store` raises: the former holds then.
        """
        if self._task is None or self._task.done():
            raise RuntimeClosed("the connection to the sandbox has ended for good")
        connection, self._made = self._connection, asyncio.Event()
        if connection is None or not connection.is_up:
            raise RotationFailed(f"{UNCHANGED}: there is no connection to the sandbox now")
        if connection.secret != self._secret():
            raise RotationFailed(f"{UNCHANGED}: another process has just changed it")
        agreed = await connection.rotation.agree(connection.secret)
        store(agreed.secret)
        self.transport.renew(agreed.secret)
        try:
            async with asyncio.timeout(ATTACH_TIMEOUT_S):
                await self._settle(connection, agreed)
        except TimeoutError:
            raise RotationFailed(NOT_CONFIRMED, hint=WHEN_CONFIRMED) from None

    async def _settle(self, connection: _Connection, agreed: Agreed) -> None:
        """Have it confirmed, or have the next connection, which is by the new one, do as well."""
        try:
            await connection.rotation.confirm(agreed)
            connection.secret = agreed.secret
        except ConnectionError:
            await self._made.wait()

    def hurry(self) -> None:
        """Try again now, if it is only waited for the next try."""
        self._hurry.set()

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
        """The connection is this link's before it is up: its welcome says when to send."""
        secret = self._tried = self._secret()
        self.transport.renew(secret)
        rules = ServerSide(
            secret,
            auth.new_nonce(),
            self._user.progress(),
            role=self._role,
            takeover=self._takeover,
            newest=self._user.newest(),
        )
        connection = self._connection = _Connection(rules, secret, self._user, outage_s)
        async with asyncio.timeout(ATTACH_TIMEOUT_S):
            await connection.open(self.transport)
        self._made.set()
        return connection

    async def _run(self) -> None:
        try:
            ended = await self._maintain()
        except Exception as defect:
            log.exception("the link to a sandbox failed")
            ended = Ended(f"the link failed: {defect!r}")
        self._connection = None
        self._user.on_ended(ended)

    async def _maintain(self) -> Ended:
        tries = Backoff()
        while True:
            assert self._connection is not None
            reason = await self._connection.watch()
            self._user.on_disconnected(reason)
            if self._connection.was_silent and self._on_silent is not None:
                self._on_silent()
            refusal = self._connection.refusal
            if isinstance(refusal, Fenced | ControllerBusy):
                return Ended(refusal.message, fenced=True)
            if self._connection.was_of_use:
                tries.reset()
            else:
                await self._back_off(tries)
            if (ended := await self._reconnect(tries)) is not None:
                return ended

    async def _reconnect(self, tries: Backoff) -> Ended | None:
        """Try until connected (None), or until the sandbox is known to be gone."""
        lost = time.monotonic()
        obstacles = Obstacles(self._user.on_trouble)
        interrupted = False
        while True:
            await self._user.writable()
            outage_s = time.monotonic() - lost
            try:
                await self._connect(outage_s)
            except SecretExpired as refusal:
                return Ended(refusal.message, fenced=True, refusal=refusal)
            except (Fenced, ControllerBusy) as refusal:
                if isinstance(refusal, Fenced) or outage_s > BUSY_GRACE_S:
                    return Ended(refusal.message, fenced=True)
            except (OSError, ProtocolError) as problem:
                log.debug("reconnecting failed: %s", problem)
                obstacles.met(problem)
            else:
                return None
            ended = await self._look_after_sandbox()
            if ended is not None and ended.stage == "gone":
                return ended
            if ended is not None and not interrupted:
                interrupted = True
                self._user.on_interrupted(ended)
            if ended is not None and ended.stage == "down":
                self._user.on_down(ended)
            await self._back_off(tries)

    async def _back_off(self, tries: Backoff) -> None:
        """Wait, but not when there is a reason to hurry."""
        with suppress(TimeoutError):
            async with asyncio.timeout(tries.next()):
                await self._hurry.wait()
        self._hurry.clear()

    async def _look_after_sandbox(self) -> Ended | None:
        try:
            return await self._ended()
        except Exception as problem:  # whatever an engine's library raises: it is asked again
            log.warning("cannot tell whether the sandbox lives: %s", problem)
            return None


class _Connection:
    """One websocket's life. A channel `Receiver`."""

    def __init__(self, rules: ServerSide, secret: str, user: LinkUser, outage_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.secret = secret
        self._rules = rules
        self._user = user
        self._outage_s = outage_s
        self._channel: Channel | None = None
        self._opened = loop.time()
        self._frames = 0
        self._lost: asyncio.Future[str] = loop.create_future()
        self.rotation = Rotation(self.send_text, self._lost)
        self._attached: asyncio.Future[None] = loop.create_future()
        self.caught_up: asyncio.Future[None] = loop.create_future()
        self.refusal: ProtocolError | None = None
        self.was_silent = False

    @property
    def is_up(self) -> bool:
        """Whether frames can be sent."""
        welcomed = self._rules.welcome is not None and not self._rules.failed
        return welcomed and self._channel is not None and self._channel.is_open

    @property
    def was_of_use(self) -> bool:
        """Whether it brought something, or lasted: making it anew at once is no busy loop."""
        lasted = asyncio.get_running_loop().time() - self._opened
        return self._frames > 0 or lasted > LAST_RETRY_S

    async def open(self, transport: Transport) -> None:
        """Connect and shake hands; raises `OSError` or `ProtocolError`."""
        connection = await transport.connect()
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(
            lambda: client_channel("/events", self), sock=connection
        )
        self._channel = channel
        try:
            await self._attached
        except BaseException:
            channel.abort()
            raise

    async def watch(self) -> str:
        """Return when the connection is lost, with the reason; ping it when it is silent."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        while True:
            done, _ = await asyncio.wait([self._lost], timeout=PING_EVERY_S)
            if done:
                return self._lost.result()
            silent = loop.time() - self._channel.heard
            if silent > 2 * PING_EVERY_S:
                self.was_silent = True
                self.abort(f"no sign of life for {silent:.0f} s")
            elif silent > PING_EVERY_S / 2:
                self._channel.ping()

    def send_text(self, text: bytes) -> None:
        """Send a frame once attached."""
        if self._channel is not None and self.is_up:
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
            self._user.on_caught_up()

    def on_binary(self, data: bytes) -> None:
        """There are none on this connection."""
        self._refuse(ProtocolError("the client sent bytes on the event connection"))

    def on_pong(self) -> None:
        """The client is there; the channel remembers when it was heard."""

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
                self._frames += 1
                self._user.on_frame(item, raw)
            case RejectedFrame():
                self._user.on_rejected(item)
            case RotatingFrame() | RotatedFrame():
                self._on_answer(item)
            case Replaced():
                self._user.on_frame(item.frame, item.raw)
            case Gap():
                self._user.on_gap(item)
            case WelcomeFrame():
                self._attached.set_result(None)
                self._welcomed(item)

    def _welcomed(self, frame: WelcomeFrame) -> None:
        try:
            self._user.on_connected(frame, self._outage_s)
        except StateUnusable as unusable:  # the start, which waits for the replay, fails with it
            self._fail(unusable)
            self.abort(unusable.message)

    def _on_answer(self, frame: RotatingFrame | RotatedFrame) -> None:
        try:
            self.rotation.on_answer(frame)
        except UnexpectedFrame as error:
            self._refuse(error)

    def _refuse(self, error: ProtocolError) -> None:
        """What came is unusable, or is the client's refusal: this connection ends."""
        self.refusal = error
        self._fail(error)
        self.abort(error.message)

    def _fail(self, error: Exception) -> None:
        """Tell whoever waits in `open` or for the replay; nobody may."""
        waited_for = self.caught_up if self._attached.done() else self._attached
        if not waited_for.done():
            waited_for.set_exception(error)
            waited_for.exception()
