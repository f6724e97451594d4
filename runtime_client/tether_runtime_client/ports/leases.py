"""The lease of a forward: tickets for the server, and connections inside for whoever shows one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from ..protocol.bulk import BulkStream
from ..protocol.errors import PortRefused, TetherError, TransferError
from ..protocol.port_frames import BeginFrame, TicketsFrame, WantFrame
from ..protocol.port_pump import pump, reset
from ..protocol.port_sockets import reason
from ..tickets import Tickets
from .inside import Inside

MAX_STREAMS = 384
"""Connections through ports at a time, all mappings together: two descriptors each, of the 1,024
that a process usually may have, so that the event connection always finds a place."""

MAX_OUT = 1024
"""Tickets of one lease that were not shown yet: some are on their way, and a few kept ready."""

log = logging.getLogger(__name__)


class Streams:
    """Counts the connections through ports, and keeps their tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._hoping: set[Callable[[], None]] = set()

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._tasks) >= MAX_STREAMS

    def start(self, task: asyncio.Task[None]) -> None:
        """Count it until it ends."""
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    def when_room(self, tell: Callable[[], None]) -> None:
        """Call this once, when one of them has ended."""
        self._hoping.add(tell)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        hoping, self._hoping = self._hoping, set()
        for tell in hoping:
            tell()


class ForwardLease:
    """One lease, `serve`d until its connection ends. Its streams live on by themselves."""

    def __init__(self, tickets: Tickets, streams: Streams, target: Inside) -> None:
        self._tickets = tickets
        self._streams = streams
        self._target = target
        self._out: set[str] = set()

    async def serve(self, stream: BulkStream) -> None:
        """Hand out tickets as they are wanted."""
        try:
            with suppress(TransferError):  # it has gone
                while isinstance(message := await stream.read(), WantFrame):
                    self._give(stream, message.count)
        finally:
            for ticket in self._out:
                self._tickets.revoke(ticket)
            stream.close()

    def _give(self, stream: BulkStream, count: int) -> None:
        fresh = []
        for _ in range(min(count, MAX_OUT - len(self._out))):
            ticket = self._tickets.issue_to(self._begin)
            fresh.append(ticket)
        self._out.update(fresh)
        if fresh:
            stream.send(TicketsFrame(tickets=tuple(fresh)))

    def _begin(self, stream: BulkStream) -> None:
        self._out = {ticket for ticket in self._out if self._tickets.is_out(ticket)}
        if self._streams.full:
            stream.refuse(PortRefused(f"there are {MAX_STREAMS} connections through ports already"))
            return
        self._streams.start(asyncio.create_task(self._carry(stream)))

    async def _carry(self, stream: BulkStream) -> None:
        try:
            if not isinstance(await stream.read(), BeginFrame):
                stream.close()  # it was kept ready and is not needed
                return
            await _connect_and_carry(stream, self._target)
        except TetherError as problem:
            log.debug("a connection to %s was broken: %s", self._target, problem)
        except Exception as defect:
            log.exception("a connection to %s failed", self._target)
            stream.abort(f"the connection failed: {defect!r}")


async def _connect_and_carry(stream: BulkStream, target: Inside) -> None:
    try:
        connection = await target.connect()
    except OSError as problem:
        text = f"{target} in the sandbox takes no connection: {reason(problem)}"
        stream.refuse(PortRefused(text))
        return
    try:
        stream.send(BeginFrame())
    except TransferError:
        reset(connection)
        raise
    await pump(stream, connection)
