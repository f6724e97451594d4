"""A runtime client without shell and supervisor, and a server's end to talk to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tether_runtime_client.control import Control
from tether_runtime_client.dispatcher import Context, Dispatcher
from tether_runtime_client.endpoint import Endpoint
from tether_runtime_client.event_connection import EventConnection
from tether_runtime_client.kept_secret import KeptSecret, keep_secret
from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.actions import CmdPollAction, CmdRunAction, ExecAction
from tether_runtime_client.protocol.channel import Channel, client_channel
from tether_runtime_client.protocol.errors import ProtocolError
from tether_runtime_client.protocol.events import ClientStarted, CmdOutputDelta, Event
from tether_runtime_client.protocol.frames import (
    AckFrame,
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    Role,
    RotatedFrame,
    RotatingFrame,
    StoredEvent,
    SubmitFrame,
    WelcomeFrame,
    encode,
)
from tether_runtime_client.protocol.observations import DoneObservation, Observation
from tether_runtime_client.protocol.server_side import Gap, Incoming, Replaced, ServerSide
from tether_runtime_client.recorder import Recorder
from tether_runtime_client.tickets import Tickets

SECRET = auth.new_secret()


class Stack:
    """The parts of a client, listening at a UNIX socket."""

    def __init__(
        self, folder: Path, lease_s: float | None = None, lifetime_s: float | None = None
    ) -> None:
        self.abandoned = asyncio.Event()
        self.secret_fd = keep_secret(SECRET.encode())
        self.secret = KeptSecret(self.secret_fd, lifetime_s)
        self.recorder = Recorder(folder / "journal")
        self.dispatcher = Dispatcher(self.recorder)
        self.control = Control(lease_s, self.abandoned.set)
        self.tickets = Tickets()
        self.connections: list[EventConnection] = []
        self.endpoint = Endpoint(self._connection, self.tickets)
        self.path = folder / "client.sock"
        self.gate = asyncio.Event()
        self.gate.set()
        self.ran: list[str] = []
        self.peers: list[Peer] = []
        self.dispatcher.register(CmdRunAction, self._run)
        self.dispatcher.register(ExecAction, self._wait)

    async def start(self) -> None:
        self.recorder.start(ClientStarted(version="0", pid=1, shell="", shell_reason=""))
        await self.endpoint.listen_unix(self.path)
        self.control.start()

    async def stop(self) -> None:
        self.gate.set()
        for peer in self.peers:
            await peer.cut()
        await self.dispatcher.close()
        await self.endpoint.close()
        self.recorder.journal.close()
        os.close(self.secret_fd)

    def _connection(self) -> EventConnection:
        made = EventConnection(self.secret, self.recorder, self.dispatcher, self.control)
        self.connections.append(made)
        return made

    async def _run(self, action: CmdRunAction, context: Context) -> Observation:
        """As many bytes of output as the command says, in pieces."""
        self.ran.append(context.action_id)
        total, size = (int(word) for word in action.command.split())
        for offset in range(0, total, size):
            context.emit(output(context.action_id, offset, size))
            if offset % (64 * size) == 0:
                await asyncio.sleep(0)
        return DoneObservation()

    async def _wait(self, _: ExecAction, context: Context) -> Observation:
        self.ran.append(context.action_id)
        await self.gate.wait()
        return DoneObservation()


def output(action_id: str, offset: int, size: int) -> CmdOutputDelta:
    return CmdOutputDelta(
        action_id=action_id, content="x" * size, session="s", offset=offset, length=size
    )


@asynccontextmanager
async def running(
    folder: Path, lease_s: float | None = None, lifetime_s: float | None = None
) -> AsyncIterator[Stack]:
    """A started stack; stopped afterwards."""
    stack = Stack(folder, lease_s, lifetime_s)
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


class Peer:
    """A server's end: stores in memory what it is given. A channel `Receiver`."""

    def __init__(
        self,
        have: dict[str, int] | None = None,
        *,
        secret: str = SECRET,
        role: Role = "controller",
        takeover: bool = False,
        newest: StoredEvent | None = None,
        first: bytes | None = None,
    ) -> None:
        self._first = first
        self.rules = ServerSide(
            secret, auth.new_nonce(), have or {}, role=role, takeover=takeover, newest=newest
        )
        self.channel: Channel
        self.frames: list[EventFrame | ObservationFrame] = []
        self.raw: list[bytes] = []
        self.gaps: list[Gap] = []
        self.answers: list[RotatingFrame | RotatedFrame] = []
        self.rejected: list[RejectedFrame] = []
        self.error: ProtocolError | None = None
        self.closed: str | None = None
        self._news = asyncio.Event()

    async def connect(self, stack: Stack) -> None:
        """Open the websocket; the rest follows by itself."""
        stack.peers.append(self)
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, str(stack.path))
        self.channel = client_channel("/events", self)
        await loop.create_connection(lambda: self.channel, sock=connection)

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        """Say hello, or what the test wants said first."""
        if self._first is None:
            channel.send_text(self.rules.hello())
        elif self._first != b"nothing":
            channel.send_text(self._first)

    def on_text(self, text: bytes) -> None:
        try:
            incoming, answer = self.rules.receive(text)
        except ProtocolError as error:
            self.error = error
            self._news.set()
            return
        if answer is not None:
            self.channel.send_text(answer)
        for item in incoming:
            self._take(item, text)
        self._news.set()

    def on_binary(self, data: bytes) -> None:
        raise AssertionError(data)

    def on_pong(self) -> None:
        """Nothing waits for it."""

    def on_writable(self) -> None:
        """Nothing waits for it."""

    def on_close(self, reason: str) -> None:
        self.closed = reason
        self._news.set()

    # --- what tests call

    @property
    def welcome(self) -> WelcomeFrame:
        assert self.rules.welcome is not None
        return self.rules.welcome

    @property
    def events(self) -> list[Event]:
        return [f.event if isinstance(f, EventFrame) else f.observation for f in self.frames]

    @property
    def numbers(self) -> list[int]:
        return [frame.seq for frame in self.frames]

    def submit(self, action_id: str, action: CmdRunAction | ExecAction | CmdPollAction) -> None:
        self.channel.send_text(encode(SubmitFrame(id=action_id, action=action)))

    def acknowledge(self, seq: int | None = None, epoch: str | None = None) -> None:
        last = self.frames[-1]
        frame = AckFrame(epoch=epoch or last.epoch, seq=last.seq if seq is None else seq)
        self.channel.send_text(encode(frame))

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when `condition()` holds; fails when the connection ends before."""
        async with asyncio.timeout(30):
            while not condition():
                assert self.closed is None, f"closed: {self.closed}"
                self._news.clear()
                await self._news.wait()

    async def until_attached(self) -> None:
        await self.until(lambda: self.rules.welcome is not None)

    async def until_ended(self, action_id: str) -> None:
        await self.until(
            lambda: any(
                isinstance(f, ObservationFrame) and f.observation.action_id == action_id
                for f in self.frames[-50:]
            )
        )

    async def until_closed(self) -> ProtocolError | None:
        """The error it was told, if any."""
        async with asyncio.timeout(30):
            while self.closed is None:
                self._news.clear()
                await self._news.wait()
        return self.error

    async def cut(self) -> None:
        self.channel.abort("cut")
        await self.channel.closed

    def _take(self, item: Incoming, text: bytes) -> None:
        match item:
            case EventFrame() | ObservationFrame():
                self.frames.append(item)
                self.raw.append(text)
            case Gap():
                self.gaps.append(item)
            case RejectedFrame():
                self.rejected.append(item)
            case RotatingFrame() | RotatedFrame():
                self.answers.append(item)
            case Replaced():
                raise AssertionError(item)


async def eventually(condition: Callable[[], bool]) -> None:
    """Return when something holds that nobody tells of."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def attached(stack: Stack, peer: Peer | None = None) -> Peer:
    """A peer with its welcome."""
    made = peer or Peer()
    await made.connect(stack)
    await made.until_attached()
    return made
