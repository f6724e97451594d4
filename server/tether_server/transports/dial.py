"""The client connects out to this server, and offers connections that the server then uses.

Before one is on offer both ends have shown that they know the sandbox's secret, so that nobody
else's is taken for it. One listener serves every sandbox that dials its address.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable

from tether_runtime_client.protocol import auth, dialling
from tether_runtime_client.protocol.accepting import Acceptor
from tether_runtime_client.protocol.errors import ProtocolError
from tether_runtime_client.protocol.joint import Joints
from tether_runtime_client.protocol.lines import keep_alive, read_line
from tether_runtime_client.protocol.tls import presenting, secured

from .base import Transport
from .identity import Identity
from .probe import NoAnswer
from .settings import join_address
from .tcp import Address

OFFER_TIMEOUT_S = 18.0
"""How long a connection to be offered is waited for. A client that was in the middle of something
gives that up after ten seconds, and tries again five or six seconds later at most.
"""

GONE_TIMEOUT_S = 1.0
"""The same when all that were on offer have ended: a client that lives offers others at once."""

MAX_OFFERED = 32
"""Connections kept on offer for one sandbox; past it the oldest has to go."""

BACKLOG = 128


class DialTransport(Transport):
    """Takes a connection that the client of `secret` has on offer.

    `dialled` is the address the client has for it, where that is another. The listener is there
    from `listen`, or from the first `connect`, until `close`.
    """

    name = "dial"
    patience_s = 15.0

    def __init__(
        self,
        secret: str,
        address: Address,
        identity: Identity | None = None,
        *,
        dialled: str | None = None,
    ) -> None:
        self._dialled = dialled
        self._secret = secret
        self._identity = identity
        self._address = address
        self._listener: _Listener | None = None
        self._offers: _Offers | None = None

    def listen(self) -> Address:
        """Listen, and return where; raises `OSError` when the address is taken."""
        if self._listener is None:
            self._listener = _Listener.at(self._address, secure=self._identity is not None)
            self._offers = self._listener.join(self._secret, self._identity)
            self._address = self._listener.address
        return self._address

    async def connect(self) -> socket.socket:
        """A connection on offer; raises `OSError` when none comes in time."""
        try:
            self.listen()
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            text = f"{problem.strerror}; its server listens there, or another program"
            raise NoAnswer("busy", text) from None
        assert self._offers is not None
        offers = self._offers
        limit = GONE_TIMEOUT_S if offers.gone else OFFER_TIMEOUT_S
        try:
            async with asyncio.timeout(limit):
                return await offers.take()
        except TimeoutError:
            where = self._dialled or join_address(*self._address)
            text = f"the client has not dialled {where} within {limit:g} s"
            raise TimeoutError(errno.ETIMEDOUT, text) from None

    def describe(self) -> str:
        """Where the client dials to."""
        here = join_address(*self._address)
        if self._dialled in (None, here):
            return f"{here}, which the client dials"
        return f"{here}, which the client dials as {self._dialled}"

    async def diagnose(self, problem: NoAnswer, secret: str) -> str:
        """The client knows why it does not come through, and writes it down."""
        return "Its log says what it ran into" if problem.kind == "unreachable" else ""

    def renew(self, secret: str) -> None:
        """Its client is known by another secret now; what is on offer by the former goes."""
        self._secret = secret
        if self._listener is not None and self._offers is not None:
            self._listener.renew(self._offers, secret)

    async def close(self) -> None:
        """Listen no more for this sandbox."""
        (listener, offers), self._listener, self._offers = (
            (self._listener, self._offers),
            None,
            None,
        )
        if listener is not None and offers is not None:
            await listener.leave(offers)


class _Offers:
    """The connections on offer for one sandbox, and who waits for one."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.context: ssl.SSLContext | None = None
        self.users = 0
        self.gone = False
        self._offered: deque[_Offer] = deque()
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()

    async def take(self) -> socket.socket:
        """The one that has waited longest, or the next to come."""
        while self._offered:
            taken = self._offered.popleft().take()
            if taken is not None:
                return taken
        waiting: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                waiting.result().close()
            raise

    def add(self, connection: socket.socket) -> None:
        """A proven connection: for who waits, or kept until it is wanted or ends."""
        self.gone = False
        offer = _Offer(connection, self._withdraw)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                if (taken := offer.take()) is not None:
                    waiting.set_result(taken)
                else:
                    self._waiting.appendleft(waiting)
                return
        self._offered.append(offer)
        if len(self._offered) > MAX_OFFERED:
            self._offered.popleft().drop()

    def drop(self) -> None:
        """Let go of all."""
        while self._offered:
            self._offered.popleft().drop()

    def _withdraw(self, offer: _Offer) -> None:
        if offer in self._offered:
            self._offered.remove(offer)
        self.gone = not self._offered
        offer.drop()


class _Offer:
    """A connection that waits to be taken. Until then its client has nothing to say."""

    def __init__(self, connection: socket.socket, withdraw: Callable[[_Offer], None]) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, withdraw, self)

    def take(self) -> socket.socket | None:
        """The connection, unless it is gone."""
        self._loop.remove_reader(self._connection)
        try:
            self._connection.send(dialling.GO)
        except OSError:
            self._connection.close()
            return None
        return self._connection

    def drop(self) -> None:
        """Let go of it."""
        self._loop.remove_reader(self._connection)
        self._connection.close()


class _Listener:
    """One listening socket, for all sandboxes that dial there from this loop."""

    _there: dict[tuple[int, Address], _Listener] = {}  # noqa: RUF012  one for the process

    def __init__(self, listening: socket.socket, *, secure: bool) -> None:
        self._loop = asyncio.get_running_loop()
        host, port, *_ = listening.getsockname()
        self.address: Address = (host, port)
        self._sandboxes: dict[str, _Offers] = {}
        self.context = self._make_context() if secure else None
        self._joints = Joints()
        self._there[id(self._loop), self.address] = self
        self._acceptor = Acceptor(listening, self._meet)

    @classmethod
    def at(cls, address: Address, *, secure: bool) -> _Listener:
        """The one that listens there already, or a new one. It is by TLS for all, or for none."""
        found = cls._there.get((id(asyncio.get_running_loop()), address))
        if found is None or (found.context is not None) != secure:
            return cls(_bound(address), secure=secure)
        return found

    def join(self, secret: str, identity: Identity | None) -> _Offers:
        """Take what the client of that secret offers; `leave` as often."""
        offers = self._sandboxes.setdefault(dialling.sandbox_id(secret), _Offers(secret))
        offers.users += 1
        if identity is not None:
            offers.context = presenting(f"{identity.certificate}\n{identity.key}")
        return offers

    def renew(self, offers: _Offers, secret: str) -> None:
        """The client of those has another secret now. Twice is safe."""
        if offers.secret != secret:
            del self._sandboxes[dialling.sandbox_id(offers.secret)]
            offers.drop()
            offers.secret = secret
            self._sandboxes[dialling.sandbox_id(secret)] = offers

    async def leave(self, offers: _Offers) -> None:
        """The last one that leaves ends the listening."""
        offers.users -= 1
        if offers.users == 0:
            del self._sandboxes[dialling.sandbox_id(offers.secret)]
            offers.drop()
        if not self._sandboxes:
            await self._close()

    async def _close(self) -> None:
        self._there.pop((id(self._loop), self.address), None)
        await self._acceptor.close()
        await self._joints.close()

    def _make_context(self) -> ssl.SSLContext:
        """It has no certificate of its own: the name that is asked for says whose to show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.sni_callback = self._choose_certificate
        return context

    def _choose_certificate(
        self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> int | None:
        offers = self._sandboxes.get((name or "").partition(".")[0])
        if offers is None or offers.context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = offers.context
        return None

    async def _meet(self, connection: socket.socket) -> None:
        keep_alive(connection)
        if self.context is not None:
            connection = await secured(connection, self.context, self._joints)
        try:
            offers = await self._prove(connection)
        except BaseException:
            connection.close()
            raise
        offers.add(connection)

    async def _prove(self, connection: socket.socket) -> _Offers:
        """Whose client it is; raises `ProtocolError` for anything else."""
        loop, nonce = self._loop, auth.new_nonce()
        await loop.sock_sendall(connection, dialling.hello(nonce))
        given = dialling.read_answer(await read_line(connection, dialling.MAX_LINE))
        offers = self._sandboxes.get(given.sandbox)
        if offers is None:
            raise ProtocolError("no sandbox of that id is known here")
        await loop.sock_sendall(connection, dialling.confirm(given, offers.secret, nonce))
        if self._sandboxes.get(given.sandbox) is not offers:
            raise ProtocolError("the sandbox is gone")
        return offers


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as problem:
        listening.close()
        text = f"cannot listen at {join_address(*address)}: {problem.strerror}"
        raise OSError(problem.errno, text) from None
    except BaseException:
        listening.close()
        raise
    return listening
