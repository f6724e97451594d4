"""A bulk stream as blocking code sees it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tether_runtime_client.protocol import bulk_io
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, HoleFrame
from tether_runtime_client.protocol.bulk_io import (
    BulkReader,
    BulkWriter,
    Lent,
    in_thread,
    on_socket,
    told_on_loop,
)
from tether_runtime_client.protocol.channel import client_channel, server_channel
from tether_runtime_client.protocol.errors import TransferError
from tether_runtime_client.protocol.holes import ZEROS
from tether_runtime_client.protocol.limits import BULK_CHUNK, MAX_HOLE

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


def nothing() -> None:
    raise AssertionError("nobody was cancelled")


def end_of(data: bytes) -> EndFrame:
    return EndFrame(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


async def test_work_in_a_thread_returns_or_raises() -> None:
    here = threading.get_ident()
    assert await in_thread(threading.get_ident, nothing) != here
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, nothing)


async def test_cancelling_waits_for_the_thread() -> None:
    stop, begun = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        begun.set()
        ended.append(stop.wait(20))
        raise OSError("the cleaning failed, and nobody is there to hear it")

    def stop_soon() -> None:
        asyncio.get_running_loop().call_later(0.1, stop.set)

    task = asyncio.create_task(in_thread(work, stop_soon))
    await asyncio.to_thread(begun.wait, 20)
    for _ in range(3):  # however often
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_the_reader_splits_and_checks(pair: Pair) -> None:
    near, far = pair
    data = os.urandom(500_000)
    for start in range(0, len(data), 150_000):
        await far.write(data[start : start + 150_000])
    await far.write(b"")
    far.send(end_of(data))

    def work(lent: Lent) -> bytes:
        reader = BulkReader(lent)
        parts = bytearray()
        while part := reader.read(7777):
            assert len(part) <= 7777
            parts += part
        assert reader.read(10) == reader.chunk() == b""
        assert reader.drain() == end_of(data)
        return bytes(parts)

    assert await on_socket(near, work) == data


async def test_what_is_left_is_drained(pair: Pair) -> None:
    near, far = pair
    await far.write(b"abc")
    await far.write(b"def")
    far.send(end_of(b"abcdef"))

    def work(lent: Lent) -> EndFrame:
        reader = BulkReader(lent)
        assert reader.read(2) == b"ab"
        return reader.drain()

    assert await on_socket(near, work) == end_of(b"abcdef")


@pytest.mark.parametrize("masks", [True, False], ids=["to-the-sandbox", "from-it"])
async def test_the_writer_sends_messages_of_bounded_size(pair: Pair, masks: bool) -> None:
    near, far = pair if masks else pair[::-1]
    data = os.urandom(BULK_CHUNK * 2 + 100)
    calls: list[tuple[int, int | None]] = []
    tell = told_on_loop(lambda done, total: calls.append((done, total)))

    def work(lent: Lent) -> EndFrame:
        writer = BulkWriter(lent, total=5, progress=tell)
        writer.write(data)
        writer.write(b"apart")
        return writer.finish(files=3)

    end, (sizes, seen) = await asyncio.gather(on_socket(near, work), _all(far))
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

    def work(lent: Lent) -> None:
        nonlocal sent
        writer = BulkWriter(lent)
        for _ in range(200):
            writer.write(bytes(BULK_CHUNK))
            sent += 1
        writer.finish()

    task = asyncio.create_task(on_socket(near, work))
    await asyncio.sleep(0.5)
    held = sent
    assert held < 50
    while isinstance(await far.read(), bytes):
        continue
    await task
    assert sent == 200


async def test_writing_to_a_peer_that_is_gone(pair: Pair) -> None:
    near, far = pair
    far.abort("gone")

    def work(lent: Lent) -> None:
        writer = BulkWriter(lent)
        while True:
            writer.write(bytes(1000))

    with pytest.raises(TransferError):
        await on_socket(near, work)


async def test_holes_are_zeros_for_all_who_do_not_look(pair: Pair) -> None:
    near, far = pair
    size = MAX_HOLE + 70_000

    def send(lent: Lent) -> EndFrame:
        writer = BulkWriter(lent)
        writer.write(b"before")
        writer.hole(size)
        writer.write(b"after")
        return writer.finish()

    def take(lent: Lent) -> tuple[int, int, bytes, EndFrame]:
        reader = BulkReader(lent)
        holes = zeros = 0
        data = b""
        while piece := reader.chunk():
            is_hole = piece.obj is ZEROS
            holes += is_hole
            zeros += len(piece) if is_hole else 0
            data += b"" if is_hole else bytes(piece)
        return holes, zeros, data, reader.drain()

    end, taken = await asyncio.gather(on_socket(far, send), on_socket(near, take))
    assert taken[0] > 1
    assert taken[1:] == (size, b"beforeafter", end)


async def test_holes_without_end_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_io, "MAX_HOLES", 1_000_000)
    near, far = pair
    for _ in range(2):
        far.send(HoleFrame(bytes=600_000))
    with pytest.raises(TransferError, match="more than 1,000,000 bytes came as holes"):
        await on_socket(near, lambda lent: BulkReader(lent).drain())


async def test_a_hole_counts_as_bytes_that_were_announced(pair: Pair) -> None:
    near, far = pair
    far.send(HoleFrame(bytes=600_000))
    with pytest.raises(TransferError, match="more came than the 599,999 bytes"):
        await on_socket(near, lambda lent: BulkReader(lent, announced=599_999).drain())
