"""A proxy on loopback between a server and the client of one sandbox, which can be told to fail.

It counts every byte it passes on, in both directions, so that a fault is placed by progress: the
proxy stops exactly there, whatever the machine's load, and goes on when the fault says so.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

PIECE = 64 * 1024
RESET = struct.pack("ii", 1, 0)

Fate = Literal["drop", "swallow", "hold"]
"""What becomes of an attempt to connect: closed at once, never answered, let in after the next."""

Connect = Callable[[], Awaitable[socket.socket]]


class Proxy:
    """Listens from `open` to `close`. `connect` makes a connection to the client."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._stop_at: int | None = None
        self._reached: asyncio.Future[None] | None = None
        self._fates: deque[Fate] = deque()
        self._held: asyncio.Event | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fated: asyncio.Future[None] | None = None
        self._attempt = asyncio.Condition()
        self.port = 0
        self.passed = 0
        self.attempts = 0
        self.pieces_split = 0
        self.pieces_delayed = 0
        self.split_left = 0
        self.delay_left = 0
        self.delay_s = 0.0

    async def open(self) -> None:
        """Take connections on a port of loopback."""
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._start(self._accept(listening))

    async def close(self) -> None:
        """Let go of everything."""
        self._open.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what faults do

    async def stop_after(self, count: int) -> None:
        """Return when `count` more bytes have passed; nothing more does until `go_on`."""
        self._stop_at = self.passed + count
        self._reached = self._loop.create_future()
        await self._reached

    def hold(self) -> None:
        """Nothing passes until `go_on`."""
        self._open.clear()

    def go_on(self) -> None:
        """Everything passes again."""
        self._open.set()

    @property
    def standing(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def cut(self, *, reset: bool) -> int:
        """End all connections, by a reset or in good order; returns how many."""
        cut = list(self._links)
        for link in cut:
            link.cut(reset=reset)
        return len(cut)

    def lose(self) -> int:
        """Pass nothing on any connection there is any more, and tell neither end."""
        for link in self._links:
            link.lost = True
        return len(self._links)

    async def receive(self, *fates: Fate) -> None:
        """Treat the next attempts to connect so; returns when the last of them has come."""
        self._fates.extend(fates)
        self._fated = self._loop.create_future()
        await self._fated

    async def reset_and_receive(self, *fates: Fate) -> None:
        """End what stands by a reset; the next attempts to connect are treated so."""
        self.cut(reset=True)
        self.go_on()
        await self.receive(*fates)

    async def attempted(self, number: int) -> None:
        """Return when there have been so many attempts to connect."""
        async with self._attempt:
            await self._attempt.wait_for(lambda: self.attempts >= number)

    # --- inside

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        with listening:
            while True:
                connection, _ = await self._loop.sock_accept(listening)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._serve(connection, self._next_fate()))
                async with self._attempt:
                    self.attempts += 1
                    self._attempt.notify_all()

    def _next_fate(self) -> Fate | None:
        if self._held is not None:
            self._held.set()  # the one that waits is let in, after this one
            self._held = None
        if not self._fates:
            return None
        fate = self._fates.popleft()
        if fate == "hold":
            self._held = asyncio.Event()
        if not self._fates and self._fated is not None and not self._fated.done():
            self._fated.set_result(None)
        return fate

    async def _serve(self, connection: socket.socket, fate: Fate | None) -> None:
        with connection:
            if fate == "drop":
                return
            if fate == "swallow":
                await self._swallow(connection)
                return
            if fate == "hold" and self._held is not None:
                await self._held.wait()
                await asyncio.sleep(0)  # behind the one that came later
            with suppress(OSError):
                inner = await self._connect()
                with inner:
                    await self._pass_on(connection, inner)

    async def _swallow(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while await self._loop.sock_recv(connection, PIECE):
                pass

    async def _pass_on(self, outer: socket.socket, inner: socket.socket) -> None:
        link = _Link(outer, inner)
        self._links.add(link)
        try:
            there = asyncio.ensure_future(self._pump(link, outer, inner))
            back = asyncio.ensure_future(self._pump(link, inner, outer))
            link.pumps = (there, back)
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            for pump in link.pumps:
                pump.cancel()
            self._links.discard(link)

    async def _pump(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := await self._loop.sock_recv(source, PIECE):
                while data and not link.lost:
                    data = await self._pass_piece(link, sink, data)
            if not link.lost:
                await self._open.wait()
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            if not link.lost:
                link.cut(reset=True)

    async def _pass_piece(self, link: _Link, sink: socket.socket, data: bytes) -> bytes:
        """Pass on as much as may go now; returns the rest."""
        if self.delay_left > 0:
            self.delay_left -= 1
            self.pieces_delayed += 1
            await asyncio.sleep(self.delay_s)
        await self._open.wait()
        if link.lost:
            return b""
        piece = data[: self._allowed(len(data))]
        self._count(len(piece))
        await self._loop.sock_sendall(sink, piece)
        return data[len(piece) :]

    def _allowed(self, size: int) -> int:
        if self.split_left > 0:
            self.split_left -= 1
            self.pieces_split += 1
            size = 1
        if self._stop_at is not None:
            size = min(size, self._stop_at - self.passed)
        return size

    def _count(self, size: int) -> None:
        self.passed += size
        if self._stop_at is not None and self.passed >= self._stop_at:
            self._stop_at = None
            self.hold()
            assert self._reached is not None
            self._reached.set_result(None)


class _Link:
    """One connection: the server's end and the client's."""

    def __init__(self, outer: socket.socket, inner: socket.socket) -> None:
        self._ends = (outer, inner)
        self.pumps: tuple[asyncio.Future[None], ...] = ()
        self.lost = False

    def cut(self, *, reset: bool) -> None:
        """Close both ends; what was on its way is gone with a reset."""
        for pump in self.pumps:
            pump.cancel()
        for end in self._ends:
            if reset and end.family == socket.AF_INET and end.fileno() >= 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
