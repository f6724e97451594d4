"""A transport whose connections are cut after so many bytes, counted on the wire. Not collected."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Literal

import pytest

from tether_server import EventStreamRuntime, runtime
from tether_server.transports import Choice, Transport

Way = Literal["out", "in"]
"""Towards the sandbox, or back."""

_READ = 64 * 1024


@dataclass
class Cutter(Transport):
    """Passes on what another transport carries. `crossed` counts the bytes, by their way.

    `cut_after` says after how many more of one way everything is cut: what was to follow is lost,
    both ways. Once is all: connections made afterwards are whole.
    """

    inner: Transport
    crossed: dict[Way, int] = field(default_factory=lambda: {"out": 0, "in": 0})
    cuts: int = 0

    def __post_init__(self) -> None:
        self.name = self.inner.name
        self._left: tuple[Way, int] | None = None
        self._open: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    def outage(self) -> None:
        """Cut everything, and let no connection through until `end_outage`."""
        self._gate.clear()
        self.cut()

    def end_outage(self) -> None:
        """Connections are made again."""
        self._gate.set()

    def cut_after(self, way: Way, count: int) -> None:
        """Cut everything, of all connections, once so many more bytes of one way have crossed."""
        self._left = (way, count)

    async def connect(self) -> socket.socket:
        await self._gate.wait()
        far = await self.inner.connect()
        ours, near = socket.socketpair()
        for connection in (ours, near):
            connection.setblocking(False)
        self._open |= {near, far}
        task = asyncio.create_task(self._carry(near, far))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ours

    def describe(self) -> str:
        return f"{self.inner.describe()}, cut now and then"

    def cut(self) -> None:
        """Cut everything now."""
        self.cuts += 1
        self._left = None
        for connection in list(self._open):
            self._shut(connection)

    async def _carry(self, near: socket.socket, far: socket.socket) -> None:
        try:
            await asyncio.gather(self._one_way("out", near, far), self._one_way("in", far, near))
        finally:
            for connection in (near, far):
                self._open.discard(connection)
                connection.close()

    async def _one_way(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(source, _READ):
                if self._left is not None and self._left[0] == way:
                    data = data[: self._left[1]]
                    self._left = (way, self._left[1] - len(data))
                self.crossed[way] += len(data)
                await loop.sock_sendall(target, data)
                if self._left == (way, 0):
                    self.cut()
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for connection in (source, target):
                self._shut(connection)

    @staticmethod
    def _shut(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed at the other end


def cutter_of(runtime: EventStreamRuntime) -> Cutter:
    """What the runtime's connections go through, which was started with `cuttable`."""
    assert runtime._link is not None
    assert isinstance(runtime._link.transport, Cutter)
    return runtime._link.transport


@pytest.fixture
def cuttable(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections of runtimes that are started from now on can be cut."""
    choose = runtime.choose

    async def chosen(*args: object, **options: object) -> Choice:
        choice = await choose(*args, **options)  # type: ignore[arg-type]
        return Choice(Cutter(choice.transport), choice.why)

    monkeypatch.setattr(runtime, "choose", chosen)
