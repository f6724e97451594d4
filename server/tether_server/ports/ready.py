"""Connections to the sandbox's end of a forward: made as they are needed, a few of them before."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.bulk import BulkStream, FailFrame
from tether_runtime_client.protocol.errors import PortError, PortRefused, TransferError
from tether_runtime_client.protocol.port_actions import PortForwardAction
from tether_runtime_client.protocol.port_frames import MAX_TICKETS, BeginFrame

from ..backoff import Backoff
from .lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_runtime_client.protocol.errors import TetherError

    from ..calls import Calls

WAIT_S = 30.0
"""How long who connects waits for the sandbox's client to be there, as while it restarts."""

STOCK = 8
"""Tickets that are there before they are needed."""

SPARE = 2
"""Connections that are: the next in line waits for none of its own."""

IDLE_S = 60.0
"""They are let go when nobody has connected for this long."""


class ReadyStreams:
    """The lease of one forward, and the connections that it allows."""

    def __init__(
        self,
        calls: Calls,
        action: PortForwardAction,
        on_failed: Callable[[TetherError], None],
    ) -> None:
        self._calls = calls
        self.lease = Lease(
            calls,
            action,
            on_tickets=self._on_tickets,
            on_change=self._on_change,
            on_failed=on_failed,
        )
        self._tickets: asyncio.Queue[str] = asyncio.Queue()
        self._leases = 0
        self._asked = 0
        self._hungry = 0
        self._spare: deque[BulkStream] = deque()
        self._filling: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None

    async def take(self) -> BulkStream:
        """A connection behind which the sandbox has connected.

        It is tried for as long as `WAIT_S`: nothing of what is to go through has been read yet, so
        a connection that dies before it is of use is followed by another. Raises `PortRefused`
        when nobody listens inside, `PortError` when the client was not there in time.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                stream = await self._begun()
        except TimeoutError:
            text = f"the sandbox's client was not there for {WAIT_S:.0f} s"
            raise PortError(text, hint="What happened is in `runtime.events`") from None
        self._fill()
        return stream

    async def close(self) -> None:
        """Let go of everything. Twice is safe."""
        for task in self._filling:
            task.cancel()
        await asyncio.gather(*self._filling, return_exceptions=True)
        self._let_go()
        await self.lease.close()

    # --- inside

    async def _begun(self) -> BulkStream:
        tries = Backoff()
        while True:
            stream = self._spare.popleft() if self._spare else await self._connect()
            try:
                if await _connects(stream):
                    return stream
            except BaseException:
                stream.abort("it is not needed any more")
                raise
            stream.close()
            await tries.wait()

    async def _connect(self) -> BulkStream:
        tries = Backoff()
        while True:
            ticket, lease = await self._ticket(), self._leases
            try:
                return await self._calls._bulk.connect(ticket)
            except TransferError:
                if lease == self._leases:
                    self._tickets.put_nowait(ticket)  # it was not shown
            await tries.wait()

    async def _ticket(self) -> str:
        self._hungry += 1
        try:
            self._ask()
            return await self._tickets.get()
        finally:
            self._hungry -= 1

    def _ask(self) -> None:
        most = min(STOCK + self._hungry, MAX_TICKETS)
        short = most - self._tickets.qsize() - self._asked
        if short > 0 and self.lease.held:
            self._asked += short
            self.lease.want(short)

    async def _on_tickets(self, tickets: tuple[str, ...]) -> None:
        for ticket in tickets[: self._asked]:  # what was not asked for is not kept
            self._tickets.put_nowait(ticket)
        self._asked = max(0, self._asked - len(tickets))
        self._ask()

    def _on_change(self) -> None:
        """Tickets and connections of a lost lease are of no use."""
        self._leases += 1
        self._asked = 0
        while not self._tickets.empty():
            self._tickets.get_nowait()
        self._let_go()
        self._ask()

    def _fill(self) -> None:
        """Keep some ready, for a while."""
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = loop.call_later(IDLE_S, self._let_go)
        while len(self._spare) + len(self._filling) < SPARE:
            task = asyncio.create_task(self._add_spare())
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)

    async def _add_spare(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                stream = await self._connect()
                self._spare.append(stream)

    def _let_go(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        while self._spare:
            self._spare.popleft().close()


async def _connects(stream: BulkStream) -> bool:
    """Whether the sandbox connects when told to; raises `PortRefused` where nobody listens."""
    with suppress(TransferError):  # it has died since it was made
        stream.send(BeginFrame())
        answer = await stream.read()
        if isinstance(answer, FailFrame) and answer.code == PortRefused.code:
            raise PortRefused(answer.message)
        return isinstance(answer, BeginFrame)
    return False
