"""A bulk stream as blocking code sees it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from zlib import crc32

import pytest
import pytest_asyncio

from tether_runtime_client.protocol import bulk_io
from tether_runtime_client.protocol.bulk import (
    BulkFrame,
    BulkStream,
    EndFrame,
    FailFrame,
    HoleFrame,
    ReceivedFrame,
)
from tether_runtime_client.protocol.bulk_io import BulkReader, BulkWriter, told_on_loop
from tether_runtime_client.protocol.bulk_line import BulkLine
from tether_runtime_client.protocol.channel import client_channel, server_channel
from tether_runtime_client.protocol.errors import TicketInvalid, TransferError
from tether_runtime_client.protocol.holes import ZEROS
from tether_runtime_client.protocol.limits import BULK_CHUNK, BULK_WINDOW, MAX_HOLE, MAX_SEQUENCE

from ..handlers.conftest import connected_pair

Pair = tuple[BulkStream, BulkStream]


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    left, right = socket.socketpair()
    near, far = BulkStream(), BulkStream()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: server_channel(lambda _: far), sock=right)
    await loop.create_connection(lambda: client_channel("/bulk", near), sock=left)
    await asyncio.gather(near.opened, far.opened)
    yield near, far
    near.abort("the test is over")
    far.abort("the test is over")


def end_of(data: bytes) -> EndFrame:
    return EndFrame(bytes=len(data), crc32=f"{crc32(data):08x}")


async def test_the_reader_splits_and_checks(pair: Pair) -> None:
    near, far = pair
    data = os.urandom(500_000)
    for start in range(0, len(data), 150_000):
        await far.write(data[start : start + 150_000])
    await far.write(b"")
    far.send(end_of(data))

    def work(line: BulkLine) -> bytes:
        reader = BulkReader(line)
        parts = bytearray()
        while part := reader.read(7777):
            assert len(part) <= 7777
            parts += part
        assert reader.read(10) == reader.chunk() == b""
        assert reader.drain() == end_of(data)
        return bytes(parts)

    assert await BulkLine(near).run(work) == data


async def test_what_is_left_is_drained(pair: Pair) -> None:
    near, far = pair
    await far.write(b"abc")
    await far.write(b"def")
    far.send(end_of(b"abcdef"))

    def work(line: BulkLine) -> EndFrame:
        reader = BulkReader(line)
        assert reader.read(2) == b"ab"
        return reader.drain()

    assert await BulkLine(near).run(work) == end_of(b"abcdef")


@pytest.mark.parametrize("masks", [True, False], ids=["to-the-sandbox", "from-it"])
async def test_the_writer_sends_messages_of_bounded_size(pair: Pair, masks: bool) -> None:
    near, far = pair if masks else pair[::-1]
    data = os.urandom(BULK_CHUNK * 2 + 100)
    calls: list[tuple[int, int | None]] = []
    tell = told_on_loop(lambda done, total: calls.append((done, total)))

    def work(line: BulkLine) -> EndFrame:
        writer = BulkWriter(line, total=5, progress=tell)
        writer.write(data)
        writer.write(b"apart")
        return writer.finish(files=3)

    end, (sizes, seen) = await asyncio.gather(BulkLine(near).run(work), _all(far))
    assert end == end_of(data + b"apart").model_copy(update={"files": 3})
    assert seen == data + b"apart"
    assert sizes == [BULK_CHUNK, BULK_CHUNK, 100, 5]
    assert calls[-1] == (len(seen), 5)


async def _all(stream: BulkStream) -> tuple[list[int], bytes]:
    sizes, seen = [], b""
    while isinstance(message := await stream.read(), bytes):
        sizes.append(len(message))
        seen += message
    return sizes, seen


async def test_a_slow_reader_holds_the_writer(pair: Pair) -> None:
    near, far = pair
    sent = 0

    def work(line: BulkLine) -> None:
        nonlocal sent
        writer = BulkWriter(line)
        for _ in range(200):
            writer.write(bytes(BULK_CHUNK))
            sent += 1
        writer.finish()

    task = asyncio.create_task(BulkLine(near).run(work))
    await asyncio.sleep(0.5)
    held = sent
    assert held < 50
    seen = 0
    while isinstance(message := await far.read(), bytes):
        seen += len(message)
        far.send(ReceivedFrame(bytes=seen))
    await task
    assert sent == 200


async def test_writing_to_a_peer_that_is_gone(pair: Pair) -> None:
    near, far = pair
    far.abort("gone")

    def work(line: BulkLine) -> None:
        writer = BulkWriter(line)
        while True:
            writer.write(bytes(1000))

    with pytest.raises(TransferError):
        await BulkLine(near).run(work)


async def test_holes_are_zeros_for_all_who_do_not_look(pair: Pair) -> None:
    near, far = pair
    size = MAX_HOLE + 70_000

    def send(line: BulkLine) -> EndFrame:
        writer = BulkWriter(line)
        writer.write(b"before")
        writer.hole(size)
        writer.write(b"after")
        return writer.finish()

    def take(line: BulkLine) -> tuple[int, int, bytes, EndFrame]:
        reader = BulkReader(line)
        holes = zeros = 0
        data = b""
        while piece := reader.chunk():
            is_hole = piece.obj is ZEROS
            holes += is_hole
            zeros += len(piece) if is_hole else 0
            data += b"" if is_hole else bytes(piece)
        return holes, zeros, data, reader.drain()

    end, taken = await asyncio.gather(BulkLine(far).run(send), BulkLine(near).run(take))
    assert taken[0] > 1
    assert taken[1:] == (size, b"beforeafter", end)


async def test_holes_without_end_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_io, "MAX_HOLES", 1_000_000)
    near, far = pair
    for _ in range(2):
        far.send(HoleFrame(bytes=600_000))
    with pytest.raises(TransferError, match="more than 1,000,000 bytes came as holes"):
        await BulkLine(near).run(lambda line: BulkReader(line).drain())


async def test_a_hole_counts_as_bytes_that_were_announced(pair: Pair) -> None:
    near, far = pair
    far.send(HoleFrame(bytes=600_000))
    with pytest.raises(TransferError, match="more came than the 599,999 bytes"):
        await BulkLine(near).run(lambda line: BulkReader(line, announced=599_999).drain())


# --- over one connection and the next


class Line:
    """A sender's line, whose other ends are the test's."""

    def __init__(self) -> None:
        self.far: asyncio.Queue[BulkStream] = asyncio.Queue()
        self.made: list[BulkStream] = []

    async def reopen(self) -> BulkStream:
        near, far = await connected_pair()
        self.made += [near, far]
        self.far.put_nowait(far)
        return near

    async def start(self) -> BulkLine:
        return BulkLine(await self.reopen(), self.reopen)


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    for stream in line.made:
        stream.abort("the test is over")


def sends(data: bytes) -> Callable[[BulkLine], tuple[EndFrame, EndFrame | None]]:
    def work(line: BulkLine) -> tuple[EndFrame, EndFrame | None]:
        writer = BulkWriter(line)
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
        writer.hole(70_000)
        return writer.finish(), writer.confirmation()

    return work


@pytest.mark.parametrize("received", [0, 1, 99_999, 100_000, 250_001, 300_000, 330_000, 370_000])
async def test_a_sender_goes_on_where_the_receiver_is(line: Line, received: int) -> None:
    data = os.urandom(300_000)
    sending = asyncio.create_task((await line.start()).run(sends(data)))
    first = await line.far.get()
    while not isinstance(await first.read(), EndFrame):
        continue
    first.abort("cut")
    second = await line.far.get()
    second.send(ReceivedFrame(bytes=received))
    seen = b""
    while not isinstance(message := await second.read(), EndFrame):
        seen += message if isinstance(message, bytes) else bytes(message.bytes)  # type: ignore[union-attr]
    assert seen == (data + bytes(70_000))[received:]
    second.send(message)
    assert await sending == (message, message)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ([ReceivedFrame(bytes=MAX_SEQUENCE)], "it cannot"),
        ([ReceivedFrame(bytes=200_000), ReceivedFrame(bytes=100_000)], "it cannot"),
        ([EndFrame(bytes=0, crc32="")], "does not say where|says that it has everything"),
        ([HoleFrame(bytes=1)], "no place"),
        ([b"bytes"], "bytes came from the receiver"),
    ],
)
async def test_what_no_receiver_says(line: Line, said: list[BulkFrame | bytes], match: str) -> None:
    sending = asyncio.create_task((await line.start()).run(sends(bytes(300_000))))
    (await line.far.get()).abort("cut")
    second = await line.far.get()
    for message in said:
        if isinstance(message, bytes):
            await second.write(message)
        else:
            second.send(message)
    with pytest.raises(TransferError, match=match):
        await sending


async def test_a_sender_keeps_no_more_than_the_window(line: Line) -> None:
    written = 0

    def work(line: BulkLine) -> None:
        nonlocal written
        writer = BulkWriter(line)
        while True:
            written += writer.write(bytes(BULK_CHUNK))

    sending = asyncio.create_task((await line.start()).run(work))
    far = await line.far.get()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while await far.read() is not None:  # everything is taken, and nothing confirmed
                continue
    assert BULK_WINDOW <= written <= BULK_WINDOW + BULK_CHUNK
    far.send(FailFrame(message="enough"))
    with pytest.raises(TransferError, match="enough"):
        await sending


@pytest.mark.parametrize("how", ["cut", "closed", "its ticket was used"])
async def test_a_receiver_says_where_it_is(line: Line, how: str) -> None:
    data = os.urandom(50_000)
    task = asyncio.create_task(
        (await line.start()).run(lambda line: BulkReader(line).drain().crc32)
    )
    end = end_of(data + bytes(9000))
    first = await line.far.get()
    assert await first.read() == ReceivedFrame(bytes=0)
    await first.write(data[:30_000])
    if how == "cut":
        while first._channel is not None and not first._channel.all_written():
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        first.abort("cut")
    elif how == "closed":
        first.close()
    else:
        first.refuse(TicketInvalid("it was used"))
    second = await line.far.get()
    assert await second.read() == ReceivedFrame(bytes=30_000)
    await second.write(data[30_000:])
    second.send(HoleFrame(bytes=9000))
    second.send(end)
    assert await task == end.crc32


async def test_who_is_cancelled_while_it_waits_for_a_connection(pair: Pair) -> None:
    asked = asyncio.Event()

    async def never() -> BulkStream:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    near, far = pair
    task = asyncio.create_task(BulkLine(near, never).run(sends(bytes(300_000))))
    far.abort("cut")
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_connection_is_needed_any_more(pair: Pair) -> None:
    async def over() -> None:
        return None

    near, far = pair
    line = BulkLine(near, over)
    sending = asyncio.create_task(line.run(sends(b"x")))
    while not isinstance(await far.read(), EndFrame):
        continue
    far.abort("cut")
    end, answer = await sending
    assert (end.bytes, answer, line.over) == (70_001, None, True)
