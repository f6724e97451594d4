"""Bulk connections: bytes and frames in order, pressure both ways, and no silent loss."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol.bulk import (
    QUEUE_LIMIT,
    BulkStream,
    EndFrame,
    FailFrame,
    OpenFrame,
    ResizeFrame,
    bulk_adapter,
    expect_open,
)
from tether_runtime_client.protocol.channel import client_channel
from tether_runtime_client.protocol.errors import MalformedFrame, TicketInvalid, TransferError
from tether_runtime_client.protocol.frames import encode
from tether_runtime_client.protocol.limits import BULK_CHUNK
from tether_runtime_client.protocol.message import Message

from .messages import BULK, message
from .pairs import bulk_pair, joined


@pytest.mark.parametrize("kind", BULK)
@given(data=st.data())
def test_what_is_sent_is_what_comes(kind: type[Message], data: st.DataObject) -> None:
    frame = data.draw(message(kind))
    assert bulk_adapter.validate_json(encode(frame)) == frame


async def test_bytes_and_frames_come_in_order() -> None:
    async with bulk_pair() as (here, there):
        here.send(OpenFrame(ticket="t"))
        await here.write(b"one")
        await here.write(memoryview(b"two"))
        here.send(ResizeFrame(rows=1, cols=2))
        here.close()
        here.close()
        got = [await there.read() for _ in range(6)]
        assert got == [
            OpenFrame(ticket="t"),
            b"one",
            b"two",
            ResizeFrame(rows=1, cols=2),
            None,
            None,
        ]


async def test_a_slow_reader_holds_the_writer_back_and_nothing_is_lost() -> None:
    async with bulk_pair() as (here, there):
        sent = hashlib.sha256()
        written = 0

        async def write() -> None:
            nonlocal written
            for number in range(100):
                chunk = bytes([number]) * BULK_CHUNK
                sent.update(chunk)
                await here.write(chunk)
                written += 1
            here.send(EndFrame(bytes=1, crc32=""))

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.2)
        assert written < 40, "the reader has taken nothing"
        assert len(there._messages) <= QUEUE_LIMIT + 2
        got = hashlib.sha256()
        while isinstance(data := await there.read(), bytes):
            got.update(data)
        await writing
        assert got.digest() == sent.digest()


async def test_many_small_messages_are_bounded_too() -> None:
    async with bulk_pair() as (here, there):
        for _ in range(20_000):
            await here.write(b"x")
        here.send(EndFrame(bytes=20_000, crc32=""))
        count = 0
        while await there.read() == b"x":
            count += 1
        assert count == 20_000


async def test_a_writer_learns_that_the_connection_went() -> None:
    async with bulk_pair() as (here, there):
        writing = asyncio.create_task(write_for_ever(here))
        await asyncio.sleep(0.05)
        there.abort("enough")
        with pytest.raises(TransferError, match="closed"):
            await writing
        with pytest.raises(TransferError):
            here.send(EndFrame(bytes=0, crc32=""))
        assert await here.read() is None


async def write_for_ever(stream: BulkStream) -> None:
    while True:
        await stream.write(b"x" * BULK_CHUNK)


async def test_nothing_is_written_to_a_peer_that_is_closing() -> None:
    """The websocket is closing, the pipe is not gone yet: bytes would go nowhere, silently."""
    async with bulk_pair() as (here, there):
        there.close()
        assert await here.read() is None
        with pytest.raises(TransferError):
            await here.write(b"x")
        with pytest.raises(TransferError, match="closed at one end"):
            there.send(EndFrame(bytes=0, crc32=""))


@pytest.mark.parametrize("text", [b"x", b"{}", b'{"type":"open"}', b'{"type":"end","bytes":"x"}'])
async def test_a_malformed_frame_ends_the_connection(text: bytes) -> None:
    here, there = BulkStream(), BulkStream()
    async with joined(here, there) as (client, _):
        await here.opened
        await there.opened
        client.send_text(text)
        assert await there.read() is None
        assert there.closed_because == "the peer sent a malformed bulk frame"


async def test_a_refusal_says_why() -> None:
    async with bulk_pair() as (here, there):
        await here.write(b"early")
        there.refuse(TicketInvalid("the ticket is used"))
        assert await here.read() == FailFrame(message="the ticket is used", code="ticket_invalid")
        assert await here.read() is None
        assert here.closed_because == "ticket_invalid"
        assert await there.read() is None, "what came meanwhile is not kept"


async def test_before_it_is_open_nothing_can_be_done() -> None:
    stream = BulkStream()
    stream.on_pong()
    stream.close()
    stream.abort("x")
    stream.trust()
    stream.refuse(TicketInvalid("x"))
    with pytest.raises(TransferError):
        await stream.write(b"x")


async def test_an_opener_learns_that_nothing_opened() -> None:
    stream = BulkStream()
    channel = client_channel("/bulk", stream)
    channel.connection_lost(ConnectionResetError("reset by peer"))
    with pytest.raises(TransferError, match="reset by peer"):
        await stream.opened
    assert await stream.read() is None


def test_the_first_message_is_the_ticket() -> None:
    assert expect_open(OpenFrame(ticket="t")) == "t"
    others: list[Any] = [b"t", None, EndFrame(bytes=0, crc32=""), FailFrame(message="")]
    for other in others:
        with pytest.raises(MalformedFrame, match="opens with its ticket"):
            expect_open(other)
