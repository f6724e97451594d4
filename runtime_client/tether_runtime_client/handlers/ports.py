"""Port actions: leases given out, and what is behind them served until the server goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..dispatcher import Context
from ..ports import ForwardLease, Inside, Listening, ReverseLease
from ..ports.leases import Streams
from ..protocol.bulk import BulkStream
from ..protocol.errors import PortTaken, TransferError
from ..protocol.observations import PortReadyObservation
from ..protocol.port_actions import PortForwardAction, PortReverseAction
from ..tickets import Tickets

log = logging.getLogger(__name__)


class Ports:
    """Handles `PortForwardAction` and `PortReverseAction`."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._streams = Streams()
        self._listening: dict[str, Listening] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def forward(self, action: PortForwardAction, _: Context) -> PortReadyObservation:
        """Give out a lease; whether anybody listens there is seen at each connection."""
        target = Inside(action.port, action.path)
        lease = ForwardLease(self._tickets, self._streams, target)
        return PortReadyObservation(ticket=self._give(lease.serve), port=action.port)

    async def reverse(self, action: PortReverseAction, _: Context) -> PortReadyObservation:
        """Listen, or go on listening for the same owner, and give out a lease."""
        self._listening = {o: one for o, one in self._listening.items() if not one.closed}
        listening = self._listening.get(action.owner)
        if listening is None:
            listening = Listening(action, self._tickets, self._streams)
            self._listening[action.owner] = listening
        elif action.port and listening.port != action.port:
            raise PortTaken(f"the owner of the lease listens on port {listening.port}")
        listening.expect()
        ticket = self._give(ReverseLease(listening).serve)
        return PortReadyObservation(ticket=ticket, port=listening.port)

    def _give(self, serve: Callable[[BulkStream], Awaitable[None]]) -> str:
        ticket = self._tickets.issue()
        task = asyncio.create_task(self._serve(ticket, serve))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return ticket

    async def _serve(self, ticket: str, serve: Callable[[BulkStream], Awaitable[None]]) -> None:
        try:
            with suppress(TransferError):  # nobody came with the ticket
                await serve(await self._tickets.redeemed(ticket))
        except Exception:
            log.exception("the lease of a port failed")
