"""Tickets: shown once, to whom they were given, and nothing stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tether_runtime_client import tickets as module
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, FailFrame, OpenFrame
from tether_runtime_client.protocol.errors import TransferError
from tether_runtime_client.tickets import Tickets

from .protocol.pairs import joined


@asynccontextmanager
async def presented(tickets: Tickets) -> AsyncIterator[tuple[BulkStream, BulkStream]]:
    """A server's stream, and the one that the client has just got and looks at."""
    here, there = BulkStream(), BulkStream()
    async with joined(here, there, "/bulk"):
        await here.opened
        task = asyncio.create_task(tickets.present(there))
        yield here, there
        await asyncio.wait_for(task, 5)


async def test_who_shows_the_ticket_gets_the_action() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (here, there):
        here.send(OpenFrame(ticket=ticket))
        assert await tickets.redeemed(ticket) is there
        await here.write(b"x" * 600_000)
        assert await there.read() == b"x" * 600_000, "long messages are taken from now on"
    assert tickets._waiting == {}


async def test_a_ticket_opens_its_own_action_s_stream_and_no_other_s() -> None:
    tickets = Tickets()
    one, two = tickets.issue(), tickets.issue()
    of_one = asyncio.create_task(tickets.redeemed(one))
    of_two = asyncio.create_task(tickets.redeemed(two))
    async with presented(tickets) as (here, there):
        here.send(OpenFrame(ticket=two))
        assert await of_two is there
        assert not of_one.done()
    of_one.cancel()
    await asyncio.gather(of_one, return_exceptions=True)


async def test_bytes_may_come_right_behind_the_ticket() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (here, _):
        here.send(OpenFrame(ticket=ticket))
        await here.write(b"x" * 256 * 1024)
        stream = await tickets.redeemed(ticket)
        assert await stream.read() == b"x" * 256 * 1024


async def test_a_ticket_that_is_shown_again_ends_the_stream_it_was_for() -> None:
    """The other end has lost it, and the network told that nobody here."""
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (first, _):
        first.send(OpenFrame(ticket=ticket))
        stream = await tickets.redeemed(ticket)
        async with presented(tickets) as (again, _):
            again.send(OpenFrame(ticket=ticket))
            assert await asyncio.wait_for(stream.read(), 5) is None
            refused = await again.read()
            assert isinstance(refused, FailFrame)
            assert refused.code == "ticket_invalid"


def test_tickets_cannot_be_guessed() -> None:
    async def issue() -> set[str]:
        tickets = Tickets()
        return {tickets.issue() for _ in range(100)}

    issued = asyncio.run(issue())
    assert len(issued) == 100
    assert all(len(ticket) >= 32 for ticket in issued)


async def refused(tickets: Tickets, ticket: str) -> str:
    """What a stream with this ticket is told."""
    async with presented(tickets) as (here, _):
        here.send(OpenFrame(ticket=ticket))
        told = await here.read()
        assert isinstance(told, FailFrame)
        assert await here.read() is None
        assert here.closed_because == "ticket_invalid"
        return told.message


async def test_an_unknown_ticket_is_refused_with_the_reason() -> None:
    assert "unknown, used or too old" in await refused(Tickets(), "x" * 32)


async def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (here, _):
        here.send(OpenFrame(ticket=ticket))
        redeeming = asyncio.create_task(tickets.redeemed(ticket))
        while tickets._waiting:
            await asyncio.sleep(0)
        assert "unknown, used" in await refused(tickets, ticket)
        await redeeming


async def test_a_ticket_shown_twice_before_it_is_looked_at() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (here, there):
        here.send(OpenFrame(ticket=ticket))
        while not tickets._waiting[ticket].done():
            await asyncio.sleep(0)
        assert "unknown, used" in await refused(tickets, ticket)
        assert await tickets.redeemed(ticket) is there


@pytest.mark.parametrize("first", [b"bytes", EndFrame(bytes=0, crc32="00000000"), None])
async def test_whatever_else_comes_first_is_refused(first: bytes | EndFrame | None) -> None:
    tickets = Tickets()
    async with presented(tickets) as (here, _):
        if isinstance(first, bytes):
            await here.write(first)
        elif first is not None:
            here.send(first)
        else:
            here.close()
            assert await here.read() is None
            return
        told = await here.read()
        said = "a bulk connection opens with its ticket"
        assert told == FailFrame(message=said, code="ticket_invalid")


async def test_who_shows_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.05)
    async with presented(Tickets()) as (here, _):
        assert isinstance(await here.read(), FailFrame)


async def test_a_ticket_nobody_shows_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICKET_TIMEOUT_S", 0.05)
    tickets = Tickets()
    ticket = tickets.issue()
    with pytest.raises(TransferError, match="no bulk connection came"):
        await tickets.redeemed(ticket)
    assert "too old" in await refused(tickets, ticket)


async def test_a_cancelled_action_leaves_no_ticket() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    waiting = asyncio.create_task(tickets.redeemed(ticket))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "too old" in await refused(tickets, ticket)


async def test_a_stream_that_comes_as_its_action_is_cancelled_is_not_left_open() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    waiting = asyncio.create_task(tickets.redeemed(ticket))
    await asyncio.sleep(0)
    async with presented(tickets) as (here, there):
        tickets._waiting[ticket].set_result(there)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await here.read() == FailFrame(
            message="the action that gave the ticket has ended", code="ticket_invalid"
        )
        assert await here.read() is None


async def test_a_stream_that_closed_right_behind_its_ticket() -> None:
    tickets = Tickets()
    ticket = tickets.issue()
    async with presented(tickets) as (here, _):
        here.send(OpenFrame(ticket=ticket))
        here.abort("gone")
        stream = await tickets.redeemed(ticket)
        assert await stream.read() is None
