"""Bulk connections as the client sees them: tickets given out, and the streams that show them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from weakref import WeakValueDictionary

from .protocol.bulk import BulkStream, expect_open
from .protocol.errors import MalformedFrame, TicketInvalid, TransferError
from .protocol.limits import HANDSHAKE_TIMEOUT_S, TICKET_TIMEOUT_S


class Tickets:
    """One-use tickets, each waited for by the action it was made for."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[BulkStream]] = {}
        self._takers: dict[str, Callable[[BulkStream], None]] = {}
        self._used: WeakValueDictionary[str, BulkStream] = WeakValueDictionary()

    def issue(self) -> str:
        """A fresh ticket; follow with `redeemed`."""
        ticket = secrets.token_urlsafe(24)
        self._waiting[ticket] = asyncio.get_running_loop().create_future()
        return ticket

    def issue_to(self, take: Callable[[BulkStream], None]) -> str:
        """A fresh ticket whose stream `take` is called with, until `revoke`."""
        ticket = secrets.token_urlsafe(24)
        self._takers[ticket] = take
        return ticket

    def revoke(self, ticket: str) -> None:
        """It is good no more. Nothing happens when it was used."""
        self._takers.pop(ticket, None)

    def is_out(self, ticket: str) -> bool:
        """Whether one of `issue_to` was neither used nor revoked."""
        return ticket in self._takers

    async def redeemed(self, ticket: str, patience_s: float | None = None) -> BulkStream:
        """The stream that showed the ticket; raises `TransferError` when none did in time."""
        limit_s = TICKET_TIMEOUT_S if patience_s is None else patience_s
        waiting = self._waiting[ticket]
        stream: BulkStream | None = None
        try:
            async with asyncio.timeout(limit_s):
                stream = await asyncio.shield(waiting)
            return stream
        except TimeoutError:
            text = f"no bulk connection came within {limit_s:.0f} s"
            raise TransferError(text) from None
        finally:
            del self._waiting[ticket]
            if stream is None:
                _turn_away(waiting)

    async def present(self, stream: BulkStream) -> None:
        """Read a new stream's ticket and hand it to its action, or refuse it.

        Whoever shows a ticket again has lost the stream that it was for, which the network need not
        have told here: that one ends, so that its action asks for the next.
        """
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                ticket = expect_open(await stream.read())
        except (TimeoutError, MalformedFrame):
            stream.refuse(TicketInvalid("a bulk connection opens with its ticket"))
            return
        take = self._takers.pop(ticket, None)
        if take is not None:
            stream.trust()
            take(stream)
            return
        waiting = self._waiting.get(ticket)
        if waiting is None or waiting.done():
            if (lost := self._used.get(ticket)) is not None:
                lost.abort("its ticket was shown again")
            stream.refuse(TicketInvalid("the ticket is unknown, used or too old"))
        else:
            stream.trust()
            self._used[ticket] = stream
            waiting.set_result(stream)


def _turn_away(waiting: asyncio.Future[BulkStream]) -> None:
    """Nobody waits any more; a stream that came at the last moment must not be left open."""
    if waiting.done():
        waiting.result().refuse(TicketInvalid("the action that gave the ticket has ended"))
    else:
        waiting.cancel()
