"""Listening inside for a port of the server's side."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from ..protocol.bulk import BulkStream
from ..protocol.errors import PortTaken, TetherError, TransferError
from ..protocol.port_actions import PortReverseAction
from ..protocol.port_frames import BeginFrame, EofFrame, TicketsFrame
from ..protocol.port_pump import pump, reset
from ..protocol.port_sockets import cannot_listen, remove_dead
from ..tickets import Tickets
from .leases import Streams

LINGER_S = 30.0
"""How long it is listened on after the lease was lost: the server comes again, or it does not."""

MAX_WAITING = 64
"""Accepted connections that wait for the server; while there are so many no more are accepted."""

ANSWER_TIMEOUT_S = 30.0
BACKLOG = 128
ROOM_AFTER_S = 1.0

log = logging.getLogger(__name__)


class Listening:
    """One listening socket inside, until `close`; `lease` is who is told of connections."""

    def __init__(self, action: PortReverseAction, tickets: Tickets, streams: Streams) -> None:
        self.owner = action.owner
        self._tickets = tickets
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._socket, self._path = _listen(action)
        self._waiting: set[str] = set()
        self._lease: BulkStream | None = None
        self._lost: asyncio.TimerHandle | None = None
        self.closed = False
        self._listen_on()

    @property
    def port(self) -> int | None:
        """The one that is listened on."""
        return None if self._path is not None else int(self._socket.getsockname()[1])

    def take(self, lease: BulkStream) -> None:
        """This connection is the lease now; it is told of whoever waits."""
        self._keep()
        if self._lease is not None:
            self._lease.close()
        self._lease = lease
        for ticket in self._waiting:
            self._tell(ticket)

    def lose(self, lease: BulkStream) -> None:
        """That connection is gone: go on for a while, unless it has been replaced."""
        if self._lease is lease:
            self._lease = None
            self.expect()

    def expect(self) -> None:
        """Close unless there is a lease in time."""
        self._keep()
        self._lost = self._loop.call_later(LINGER_S, self.close)

    def close(self) -> None:
        """Listen no more. Connections that stand go on. Twice is safe."""
        self._keep()
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for ticket in self._waiting:
            self._tickets.revoke(ticket)

    # --- inside

    def _keep(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None

    def _listen_on(self) -> None:
        if self.closed:
            return
        if len(self._waiting) < MAX_WAITING and not self._streams.full:
            self._loop.add_reader(self._socket, self._accept)
        else:
            self._loop.remove_reader(self._socket)
            self._streams.when_room(self._listen_on)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as problem:
            log.warning("a connection was not accepted: %s", problem)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(ROOM_AFTER_S, self._listen_on)
            return
        connection.setblocking(False)
        coming: asyncio.Future[BulkStream] = self._loop.create_future()
        ticket = self._tickets.issue_to(lambda stream: _hand_over(coming, stream))
        self._waiting.add(ticket)
        self._streams.start(asyncio.create_task(self._carry(connection, ticket, coming)))
        self._listen_on()
        self._tell(ticket)

    async def _carry(
        self, connection: socket.socket, ticket: str, coming: asyncio.Future[BulkStream]
    ) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                stream = await coming
                begun = isinstance(await stream.read(), BeginFrame)
        except (TimeoutError, asyncio.CancelledError):
            reset(connection)
            _hang_up(coming)
            return
        finally:
            self._tickets.revoke(ticket)
            self._waiting.discard(ticket)
            self._listen_on()
        if not begun:
            reset(connection)
            stream.close()
            return
        with suppress(TetherError):  # it was broken, and was reset
            await pump(stream, connection)

    def _tell(self, ticket: str) -> None:
        if self._lease is not None:
            with suppress(TransferError):  # it has gone, and the next one is told
                self._lease.send(TicketsFrame(tickets=(ticket,)))


class ReverseLease:
    """Serves a lease's connection: the listening socket is its own until it is lost or given up."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening

    async def serve(self, stream: BulkStream) -> None:
        """Return when the server has given it up, or is gone."""
        self._listening.take(stream)
        try:
            if isinstance(await stream.read(), EofFrame):
                self._listening.close()
        finally:
            self._listening.lose(stream)
            stream.close()


def _hand_over(coming: asyncio.Future[BulkStream], stream: BulkStream) -> None:
    if coming.done():
        stream.close()
    else:
        coming.set_result(stream)


def _hang_up(coming: asyncio.Future[BulkStream]) -> None:
    if coming.done() and not coming.cancelled():
        coming.result().close()


def _listen(action: PortReverseAction) -> tuple[socket.socket, Path | None]:
    where = action.path or f"{action.bind}:{action.port}"
    try:
        if action.path is not None:
            return _listen_unix(Path(action.path)), Path(action.path)
        family = socket.AF_INET6 if ":" in action.bind else socket.AF_INET
        address = (action.bind, action.port)
        listening = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortTaken(f"{where} in the sandbox is in use") from None
        where = f"{where} in the sandbox"
        raise cannot_listen(where, problem, is_path=action.path is not None) from None
    listening.setblocking(False)
    return listening, None


def _listen_unix(path: Path) -> socket.socket:
    """Through its folder's descriptor: the kernel takes 107 bytes at most."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, folder)
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        reached = f"/proc/self/fd/{folder}/{path.name}"
        remove_dead(reached)
        listening.bind(reached)
        os.chmod(path.name, 0o666, dir_fd=folder)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        return socket.socket(fileno=listening.detach())
