"""A bulk connection in a thread's hands: the messages are the loop's, whatever comes between."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import pytest
import pytest_asyncio
from websockets.frames import Frame, Opcode

from tether_runtime_client.protocol import bulk_socket
from tether_runtime_client.protocol.bulk import BulkFrame, BulkStream, EndFrame, FailFrame
from tether_runtime_client.protocol.bulk_line import BulkLine
from tether_runtime_client.protocol.bulk_socket import BulkSocket
from tether_runtime_client.protocol.errors import TransferError
from tether_runtime_client.protocol.frames import encode
from tether_runtime_client.protocol.framing import BINARY, data_frame
from tether_runtime_client.protocol.limits import BULK_CHUNK, MAX_FRAME

from .pairs import bulk_pair

Lent = BulkSocket[BulkFrame]
T = TypeVar("T")


async def on_socket(stream: BulkStream, work: Callable[[Lent], T]) -> T:
    return await BulkLine(stream).run(lambda line: work(line.socket))


@pytest_asyncio.fixture(params=["near-masks", "far-masks"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[BulkStream, BulkStream]]:
    async with bulk_pair() as (server, sandbox):
        yield (server, sandbox) if request.param == "near-masks" else (sandbox, server)


@pytest.fixture
def ends() -> Iterator[tuple[Lent, socket.socket]]:
    """A lent socket whose peer masks, and the peer's end."""
    left, right = socket.socketpair()
    left.setblocking(False)
    lent: Lent = BulkSocket(left)
    yield lent, right
    lent.close()
    right.close()


def take(lent: Lent, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = lent.receive()
        assert isinstance(piece, memoryview)
        data += piece
    return data


async def test_what_had_come_comes_first(pair: tuple[BulkStream, BulkStream]) -> None:
    near, far = pair
    await far.write(b"one")
    await far.write(os.urandom(200_000))
    far.send(FailFrame(message="word"))
    assert await near.read() == b"one"

    def work(lent: Lent) -> tuple[bytes, object]:
        data = take(lent, 200_000)
        return data, lent.receive()

    data, frame = await on_socket(near, work)
    assert len(data) == 200_000
    assert frame in (FailFrame(message="word"), b'{"type":"fail","message":"word"}')


async def test_the_loop_goes_on_where_the_thread_stopped(
    pair: tuple[BulkStream, BulkStream],
) -> None:
    near, far = pair
    data = os.urandom(300_000)

    def work(lent: Lent) -> bytes:
        piece = lent.receive()
        assert isinstance(piece, memoryview)
        return bytes(piece)

    lent_before = asyncio.create_task(on_socket(near, work))
    await far.write(data)
    await far.write(b"next")
    seen = await lent_before
    while len(seen) < len(data):
        piece = await near.read()
        assert isinstance(piece, bytes)
        seen += piece
    assert seen == data
    assert await near.read() == b"next"
    await near.write(b"answer")
    assert await far.read() == b"answer"


async def test_threads_at_both_ends(pair: tuple[BulkStream, BulkStream]) -> None:
    near, far = pair
    data = [os.urandom(size) for size in (0, 1, 125, 126, 65535, 65536, BULK_CHUNK)]

    def send(lent: Lent) -> None:
        for one in data:
            lent.send(one)

    whole = b"".join(data)
    _, seen = await asyncio.gather(
        on_socket(near, send), on_socket(far, lambda lent: take(lent, len(whole)))
    )
    assert seen == whole


@pytest.mark.parametrize("seed", range(10))
def test_masks_of_others_are_taken_off_however_it_is_cut(
    seed: int, ends: tuple[Lent, socket.socket]
) -> None:
    lent, peer = ends
    chance = random.Random(seed)
    data = chance.randbytes(100_000)
    wire = data_frame(BINARY, data, masked=True)

    def send() -> None:
        at = 0
        while at < len(wire):
            size = chance.choice([1, 3, 4, 7, 1000, 50_000])
            peer.sendall(wire[at : at + size])
            at += size

    sender = threading.Thread(target=send)
    sender.start()
    assert take(lent, len(data)) == data
    sender.join()


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.PING, b"are you there").serialize(mask=True),
        Frame(Opcode.BINARY, b"a part", fin=False).serialize(mask=True),
        Frame(Opcode.BINARY, b"not masked").serialize(mask=False),
        b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8, "big") + bytes(4),
        b"\xff\xff\xff\xff",
    ],
    ids=["ping", "part", "unmasked", "too-long", "garbage"],
)
def test_the_loop_gets_what_is_no_whole_message(
    frame: bytes, ends: tuple[Lent, socket.socket]
) -> None:
    lent, peer = ends
    peer.sendall(data_frame(BINARY, b"good", masked=True) + frame)
    peer.shutdown(socket.SHUT_WR)
    assert take(lent, 4) == b"good"
    assert lent.receive() is lent.receive() is None
    assert lent.close() == ([], frame)


def test_a_close_tells_why(ends: tuple[Lent, socket.socket]) -> None:
    lent, peer = ends
    closing = Frame(Opcode.CLOSE, (1008).to_bytes(2, "big") + b"ticket_invalid")
    peer.sendall(closing.serialize(mask=True))
    assert lent.receive() is None
    assert lent.closed_because == "ticket_invalid"


def test_the_end_amid_a_message(ends: tuple[Lent, socket.socket]) -> None:
    lent, peer = ends
    peer.sendall(data_frame(BINARY, bytes(1000), masked=True)[:500])
    peer.close()
    seen = 0
    while (piece := lent.receive()) is not None:
        seen += len(piece)  # type: ignore[arg-type]
    assert seen == 500 - 8
    assert lent.closed_because == "the connection was cut"


async def test_who_sends_hears_that_the_peer_wants_no_more(
    pair: tuple[BulkStream, BulkStream],
) -> None:
    near, far = pair

    def work(lent: Lent) -> object:
        while not lent.readable:
            lent.send(bytes(BULK_CHUNK))
        return lent.receive()

    sending = asyncio.create_task(on_socket(near, work))
    assert await far.read() == bytes(BULK_CHUNK)
    far.send(FailFrame(message="no room"))
    reading = asyncio.create_task(_read_on(far))  # messages are sent whole
    assert await sending == encode(FailFrame(message="no room"))
    reading.cancel()


async def _read_on(stream: BulkStream) -> None:
    while await stream.read() is not None:
        continue


@pytest.mark.parametrize("does", ["receive", "send"])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_thread_that_waits_is_woken(
    does: str, how: str, pair: tuple[BulkStream, BulkStream]
) -> None:
    near, _ = pair
    waits = threading.Event()

    def work(lent: Lent) -> object:
        waits.set()
        while does == "send":
            lent.send(bytes(BULK_CHUNK))
        return lent.receive()

    task = asyncio.create_task(on_socket(near, work))
    await asyncio.to_thread(waits.wait, 20)
    if how == "cancel":
        task.cancel()
    else:
        near.close()
    async with asyncio.timeout(20):
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    woken = outcome is None or isinstance(outcome, ConnectionError | asyncio.CancelledError)
    assert woken, outcome
    assert await near.read() is None


async def test_of_a_closed_connection_there_is_what_came_before(
    pair: tuple[BulkStream, BulkStream],
) -> None:
    near, far = pair
    end = EndFrame(bytes=0, crc32="")
    await far.write(b"all of it")
    far.send(end)
    far.close()
    while near._channel is not None and near._channel.is_open:
        await asyncio.sleep(0)

    def work(lent: Lent) -> tuple[bytes, object, object]:
        data = take(lent, 9)
        frame, over = lent.receive(), lent.receive()
        with pytest.raises(ConnectionError, match="closed"):
            lent.send(b"too late")
        return data, frame, over

    assert await on_socket(near, work) == (b"all of it", end, None)


def test_a_silence_is_bounded(
    ends: tuple[Lent, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_socket, "SILENCE_LIMIT_S", 0.05)
    lent, _ = ends
    with pytest.raises(TransferError, match="nothing moved"):
        lent.receive()
    with pytest.raises(TransferError, match="nothing moved"):
        lent.send(bytes(MAX_FRAME))


async def test_uvloop() -> None:
    """Its sockets are no sockets; what is lent is one, and it gets its own back."""
    uvloop = pytest.importorskip("uvloop")
    data = os.urandom(3 * BULK_CHUNK)

    async def main() -> bytes:
        async with bulk_pair() as (server, sandbox):
            _, seen = await asyncio.gather(
                on_socket(server, lambda lent: lent.send(data)),
                on_socket(sandbox, lambda lent: take(lent, len(data))),
            )
            await sandbox.write(b"answer")
            assert await server.read() == b"answer"
            return seen

    def run() -> bytes:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())

    assert await asyncio.to_thread(run) == data
