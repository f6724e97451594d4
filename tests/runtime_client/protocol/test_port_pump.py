"""The pump between a port and a bulk connection: every byte, both ends, and a hostile peer."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from typing import cast

import pytest

from tether_runtime_client.protocol.bulk import BulkStream, FailFrame, Lent, ResizeFrame
from tether_runtime_client.protocol.errors import PortRefused, TetherError, TransferError
from tether_runtime_client.protocol.frames import encode
from tether_runtime_client.protocol.framing import BINARY, CLOSE, TEXT, frame_header, unmasked
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.port_frames import BeginFrame, EofFrame, WantFrame
from tether_runtime_client.protocol.port_pump import MAX_WORD, pump

EOF = encode(EofFrame())
KEY = b"\x01\x02\x03\x04"


class Bench:
    """A pump between two socket pairs: `user` is who uses the port, `peer` the bulk's other end."""

    def __init__(self, *, masks: bool = False, early: tuple[bytes, ...] = (), rest: bytes = b""):
        self.user, port = _tcp_pair()
        self.peer, bulk = socket.socketpair()
        for each in (self.user, port, self.peer, bulk):
            each.setblocking(False)
        self._lent = Lent(bulk, early, rest, masks)
        self.done = asyncio.create_task(pump(cast(BulkStream, self), port))

    async def detach(self) -> Lent:
        return self._lent

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.peer, data)

    async def sent(self, count: int) -> bytes:
        return await _exactly(self.user, count)

    async def broken(self, *, ended: bool = False) -> TetherError:
        """How the pump ended; whoever used the port was reset, unless told an end before."""
        with pytest.raises(TetherError) as caught:
            await asyncio.wait_for(self.done, 30)
        if not ended:
            with pytest.raises(ConnectionResetError):
                await _all(self.user)
        self.close()
        return caught.value

    def close(self) -> None:
        self.user.close()
        self.peer.close()


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


async def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(30):
        while len(data) < count:
            more = await asyncio.get_running_loop().sock_recv(connection, count - len(data))
            assert more, f"{len(data)} of {count} bytes came"
            data += more
    return data


async def _all(connection: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(connection, 65536):
        continue


async def _flood(connection: socket.socket, data: bytes) -> int:
    """How much of it is taken, again and again, until no more is for half a second."""
    taken = 0
    try:
        while True:
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_sendall(connection, data)
            taken += len(data)
    except TimeoutError:
        return taken


def message(data: bytes, *, text: bool = False, key: bytes = b"") -> bytes:
    kind = TEXT if text else BINARY
    return frame_header(kind, len(data), key) + bytes(unmasked(data, key))


@pytest.mark.parametrize("masks", [False, True])
async def test_bytes_and_ends_both_ways(masks: bool) -> None:
    bench = Bench(masks=masks)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(bench.user, b"there")
    header = frame_header(BINARY, 5, bytes(4) if masks else b"")
    assert await _exactly(bench.peer, len(header) + 5) == header + b"there"
    await bench.say(message(b"back") + message(b"") + message(b"again"))
    assert await bench.sent(9) == b"backagain"
    bench.user.shutdown(socket.SHUT_WR)
    ending = message(EOF, text=True, key=bytes(4) if masks else b"")
    assert await _exactly(bench.peer, len(ending)) == ending
    await bench.say(message(b"last") + message(EOF, text=True))
    assert await bench.sent(4) == b"last"
    assert await loop.sock_recv(bench.user, 1) == b""
    assert await bench.done == (5, 13)
    bench.close()


@pytest.mark.parametrize("seed", range(4))
async def test_any_cutting_of_any_messages(seed: int) -> None:
    """Masked or not, in pieces of any length: what comes out is what went in."""
    chance = random.Random(seed)
    whole, wire = b"", b""
    for _ in range(40):
        data = chance.randbytes(chance.choice([0, 1, 3, 125, 126, 200, 65535, 65536, 100_000]))
        wire += message(data, key=chance.choice([b"", KEY, bytes(4)]))
        whole += data
        if chance.random() < 0.2:
            wire += message(encode(BeginFrame()), text=True, key=KEY)
    wire += message(EOF, text=True, key=KEY)
    early = (wire[:0], whole[:0])
    bench = Bench(early=early, rest=wire[: chance.randrange(20)])
    at = len(bench._lent.rest)

    async def send() -> None:
        position = at
        while position < len(wire):
            step = chance.choice([1, 2, 7, 4096, 300_000])
            await bench.say(wire[position : position + step])
            position += step
            await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    assert await bench.sent(len(whole)) == whole
    await sending
    bench.user.shutdown(socket.SHUT_WR)
    assert await asyncio.wait_for(bench.done, 30) == (0, len(whole))
    bench.close()


async def test_what_had_come_before_comes_first() -> None:
    bench = Bench(early=(b"one ", b"two "), rest=message(b"three ")[:4])
    await bench.say(message(b"three ")[4:] + message(EOF, text=True))
    assert await bench.sent(14) == b"one two three "
    bench.user.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(bench.done, 30)
    bench.close()


HOSTILE = {
    "a cut": b"",
    "a cut amid bytes": message(b"x" * 100)[:50],
    "a cut amid a word": message(EOF, text=True)[:5],
    "a close": frame_header(CLOSE, 2) + b"\x03\xe8",
    "a message that is too long": frame_header(BINARY, MAX_FRAME + 1),
    "an endless one": b"\x82\x7f" + b"\xff" * 8,
    "a word that is too long": frame_header(TEXT, MAX_WORD + 1),
    "a fragment": b"\x02\x01x",
    "a reserved bit": b"\xc2\x01x",
    "a ping": b"\x89\x00",
    "no frame at all": b"GET / HTTP/1.1\r\n\r\n",
    "a word that is no JSON": message(b"\xff\xfe", text=True),
    "a word of another kind": message(encode(ResizeFrame(rows=1, cols=1)), text=True),
    "a word that has no place": message(encode(WantFrame(count=1)), text=True),
    "bytes behind the end": message(EOF, text=True) + message(b"x"),
    "a second end": message(EOF, text=True) * 2,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_peer_ends_its_connection_and_nothing_else(data: bytes) -> None:
    bench = Bench()
    await bench.say(data)
    bench.peer.shutdown(socket.SHUT_WR)
    ended = data.startswith(message(EOF, text=True))
    assert isinstance(await bench.broken(ended=ended), TransferError)


@pytest.mark.parametrize("seed", range(3))
async def test_noise(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(30):
        bench = Bench()
        await bench.say(chance.randbytes(chance.randrange(1, 3000)))
        bench.peer.shutdown(socket.SHUT_WR)
        await asyncio.wait([bench.done], timeout=30)
        assert isinstance(bench.done.exception(), TetherError)
        bench.close()


async def test_the_peer_s_own_reason_is_raised() -> None:
    bench = Bench()
    refusal = FailFrame(message="nobody is there", code=PortRefused.code)
    await bench.say(message(encode(refusal), text=True))
    problem = await bench.broken()
    assert isinstance(problem, PortRefused)
    assert problem.message == "nobody is there"


async def test_a_reset_of_the_port_ends_the_other_without_a_word() -> None:
    bench = Bench()
    bench.user.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    bench.user.close()
    with pytest.raises(TetherError, match="the connection to the port was broken"):
        await asyncio.wait_for(bench.done, 30)
    assert await asyncio.get_running_loop().sock_recv(bench.peer, 100) == b""
    bench.close()


async def test_cancelling_resets() -> None:
    bench = Bench()
    await asyncio.sleep(0.01)
    before = len(os.listdir("/proc/self/fd"))
    bench.done.cancel()
    await asyncio.wait([bench.done])
    with pytest.raises(ConnectionResetError):
        await asyncio.get_running_loop().sock_recv(bench.user, 1)
    assert len(os.listdir("/proc/self/fd")) == before - 2
    bench.close()


async def test_who_does_not_read_stops_the_other() -> None:
    """Neither way more is taken than the kernel holds."""
    bench = Bench()
    taken = await _flood(bench.peer, message(bytes(MAX_FRAME)))
    taken += await _flood(bench.user, bytes(MAX_FRAME))
    assert taken < 64 * 1024 * 1024
    bench.done.cancel()
    await asyncio.wait([bench.done])
    bench.close()
