"""Bulk connections as the client sees them: tickets given out, and the streams that show them."""

from __future__ import annotations

import asyncio
import secrets

from .protocol.bulk import BulkStream, expect_open
from .protocol.errors import MalformedFrame, TransferError
from .protocol.limits import HANDSHAKE_TIMEOUT_S, TICKET_TIMEOUT_S


class Tickets:
    """One-use tickets, each waited for by the action it was made for."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[BulkStream]] = {}

    def issue(self) -> str:
        """A fresh ticket; follow with `redeemed`."""
        ticket = secrets.token_urlsafe(24)
        self._waiting[ticket] = asyncio.get_running_loop().create_future()
        return ticket

    async def redeemed(self, ticket: str) -> BulkStream:
        """The stream that showed the ticket; raises `TransferError` when none did in time."""
        try:
            async with asyncio.timeout(TICKET_TIMEOUT_S):
                return await self._waiting[ticket]
        except TimeoutError:
            text = f"no bulk connection came within {TICKET_TIMEOUT_S:.0f} s"
            raise TransferError(text) from None
        finally:
            del self._waiting[ticket]

    async def present(self, stream: BulkStream) -> None:
        """Read a new stream's ticket and hand it to its action, or close it."""
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                ticket = expect_open(await stream.read())
        except (TimeoutError, MalformedFrame):
            stream.abort("no ticket was shown")
            return
        waiting = self._waiting.get(ticket)
        if waiting is None or waiting.done():
            stream.abort("the ticket is unknown, used or too old")
        else:
            stream.trust()
            waiting.set_result(stream)
