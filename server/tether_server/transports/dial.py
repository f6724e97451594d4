"""The client connects out to this server, and offers connections that the server then uses.

Before one is on offer both ends have shown that they know the sandbox's secret, so that nobody
else's is taken for it. One listener serves every sandbox that dials its address.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable

from tether_runtime_client.protocol import auth, dialling
from tether_runtime_client.protocol.errors import ProtocolError
from tether_runtime_client.protocol.limits import HANDSHAKE_TIMEOUT_S
from tether_runtime_client.protocol.lines import keep_alive, read_line

from .base import Transport
from .probe import NoAnswer
from .settings import join_address
from .tcp import Address

OFFER_TIMEOUT_S = 12.0
"""How long a connection to be offered is waited for; clients try every few seconds."""

GONE_TIMEOUT_S = 1.0
"""The same when all that were on offer have ended: a client that lives offers others at once."""

MAX_OFFERED = 32
"""Connections kept on offer for one sandbox; past it the oldest has to go."""

MAX_STRANGERS = 256
"""Connections at a time that have not shown a secret; past it the oldest has to go."""

BACKLOG = 128
ROOM_AFTER_S = 1.0
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class DialTransport(Transport):
    """Takes a connection that the client of `secret` has on offer.

    The listener is there from `listen`, or from the first `connect`, until `close`.
    """

    name = "dial"
    patience_s = 15.0

    def __init__(self, secret: str, address: Address) -> None:
        self._secret = secret
        self._address = address
        self._listener: _Listener | None = None

    def listen(self) -> Address:
        """Listen, and return where; raises `OSError` when the address is taken."""
        if self._listener is None:
            self._listener = _Listener.at(self._address)
            self._listener.join(self._secret)
            self._address = self._listener.address
        return self._address

    async def connect(self) -> socket.socket:
        """A connection on offer; raises `OSError` when none comes within 12 s."""
        try:
            self.listen()
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            text = f"{problem.strerror}; its server listens there, or another program"
            raise NoAnswer("busy", text) from None
        assert self._listener is not None
        offers = self._listener.offers_of(self._secret)
        limit = GONE_TIMEOUT_S if offers.gone else OFFER_TIMEOUT_S
        try:
            async with asyncio.timeout(limit):
                return await offers.take()
        except TimeoutError:
            text = f"the client has not dialled {self.describe()} within {limit:g} s"
            raise TimeoutError(errno.ETIMEDOUT, text) from None

    def describe(self) -> str:
        """Where the client dials to."""
        return f"{join_address(*self._address)}, which the client dials"

    async def close(self) -> None:
        """Listen no more for this sandbox."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.leave(self._secret)


class _Offers:
    """The connections on offer for one sandbox, and who waits for one."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
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

    def __init__(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        host, port, *_ = listening.getsockname()
        self.address: Address = (host, port)
        self._sandboxes: dict[str, _Offers] = {}
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._there[id(self._loop), self.address] = self
        self._loop.add_reader(listening, self._accept)

    @classmethod
    def at(cls, address: Address) -> _Listener:
        """The one that listens there already, or a new one."""
        found = cls._there.get((id(asyncio.get_running_loop()), address))
        return found or cls(_bound(address))

    def offers_of(self, secret: str) -> _Offers:
        """What the client of that secret has on offer."""
        return self._sandboxes[dialling.sandbox_id(secret)]

    def join(self, secret: str) -> None:
        """Take what the client of that secret offers; `leave` as often."""
        self._sandboxes.setdefault(dialling.sandbox_id(secret), _Offers(secret)).users += 1

    async def leave(self, secret: str) -> None:
        """The last one that leaves ends the listening."""
        offers = self.offers_of(secret)
        offers.users -= 1
        if offers.users == 0:
            del self._sandboxes[dialling.sandbox_id(secret)]
            offers.drop()
        if not self._sandboxes:
            await self._close()

    async def _close(self) -> None:
        self._there.pop((id(self._loop), self.address), None)
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for task in self._strangers:
            task.cancel()
        await asyncio.gather(*self._strangers, return_exceptions=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as problem:
            self._wait_for_room(problem)
            return
        connection.setblocking(False)
        if len(self._strangers) >= MAX_STRANGERS:
            next(iter(self._strangers)).cancel()
        task = asyncio.create_task(self._meet(connection))
        self._strangers[task] = None
        task.add_done_callback(lambda done: self._strangers.pop(done, None))
        # Also when it was cancelled before it began.
        task.add_done_callback(lambda done: connection.close() if done.cancelled() else None)

    def _wait_for_room(self, problem: OSError) -> None:
        """It went again, or there are too many descriptors: then it is still there to be taken."""
        log.warning("a connection was not accepted: %s", problem)
        if problem.errno in _NO_ROOM:
            self._loop.remove_reader(self._listening)
            self._loop.call_later(ROOM_AFTER_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    async def _meet(self, connection: socket.socket) -> None:
        try:
            keep_alive(connection)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                offers = await self._prove(connection)
        except (OSError, ProtocolError, TimeoutError) as problem:
            log.info("what dialled is no client of ours: %s", problem)
            connection.close()
        else:
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
        listening.setblocking(False)
    except OSError as problem:
        listening.close()
        text = f"cannot listen at {join_address(*address)}: {problem.strerror}"
        raise OSError(problem.errno, text) from None
    except BaseException:
        listening.close()
        raise
    return listening
