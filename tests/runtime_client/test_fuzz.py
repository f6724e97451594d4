"""Malformed bytes, frames and messages at the client's endpoint: no crash, no growth, an answer.

Seeded mutations of real conversations: of their bytes before anybody proved anything, of what
follows a proof, and of bulk connections before and behind their ticket.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol.actions import ExecAction
from tether_runtime_client.protocol.bulk import BulkStream, OpenFrame
from tether_runtime_client.protocol.channel import Channel, client_channel
from tether_runtime_client.protocol.errors import ERRORS_BY_CODE, TransferError, Unauthorized
from tether_runtime_client.protocol.frames import (
    AckFrame,
    AttachFrame,
    ConfirmFrame,
    HelloFrame,
    RotateFrame,
    SubmitFrame,
    encode,
)
from tether_runtime_client.protocol.rotation import Half

from .client_stack import Peer, Stack, attached, eventually, running
from .mutation import mutated, mutated_json

SEED = 20261122
ROUNDS = 150

UPGRADE = (
    b"GET /%b HTTP/1.1\r\nHost: sandbox\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ATTACH = AttachFrame(proof="0" * 64, have={"0123456789abcdef": 3})
SUBMIT = SubmitFrame(id="a1", action=ExecAction(argv=("true",), env={"A": "B"}, timeout_s=3))
WORDS = [
    encode(SUBMIT),
    encode(AckFrame(epoch="0123456789abcdef", seq=3)),
    encode(RotateFrame(public=Half().public)),
    encode(ConfirmFrame(proof="0" * 64)),
    encode(HelloFrame(version=1, nonce="0" * 32)),
    encode(ATTACH),
]


def frame(text: bytes, opcode: int = 1, *, fin: bool = True) -> bytes:
    """As a websocket client sends it, masked by zeros."""
    head = bytes([opcode | (0x80 if fin else 0)])
    size = len(text)
    if size < 126:
        head += bytes([0x80 | size])
    else:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return head + bytes(4) + text


EVENTS = UPGRADE % b"events" + frame(encode(HelloFrame(version=1, nonce="0" * 32)))
CONVERSATIONS = [
    EVENTS + frame(encode(ATTACH)) + frame(encode(SUBMIT)),
    EVENTS + frame(b"x", 9) + frame(b"{", fin=False) + frame(b"}", 0) + frame(b"\x03\xe8", 8),
    UPGRADE % b"bulk" + frame(OpenFrame(ticket="x" * 32).model_dump_json().encode()),
    UPGRADE % b"bulk" + frame(b"bytes", 2) + frame(b'{"type":"end","bytes":5}'),
]


@pytest.fixture
async def stack(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Stack]:
    """Nothing that goes wrong in the loop or in a callback is left in a log alone."""
    defects: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    async with running(tmp_path) as made:
        yield made
        assert defects == []
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def nothing_grows(stack: Stack, attack: Callable[[random.Random], Awaitable[None]]) -> None:
    """Twice as much costs no more than once; then the client answers as ever."""
    await rounds(stack, attack, range(ROUNDS))
    before = usage()
    await rounds(stack, attack, range(ROUNDS, 3 * ROUNDS))
    after = usage()
    assert after["descriptors"] <= before["descriptors"]
    assert after["threads"] <= before["threads"]
    assert after["tasks"] <= before["tasks"]
    assert after["blocks"] - before["blocks"] < 30 * ROUNDS, (before, after)
    peer = await attached(stack, Peer(takeover=True))
    peer.submit("afterwards", ExecAction(argv=("true",)))
    await peer.until_ended("afterwards")
    peer.acknowledge()
    await eventually(lambda: not stack.recorder.ledger.ended)


async def rounds(
    stack: Stack, attack: Callable[[random.Random], Awaitable[None]], seeds: range
) -> None:
    for seed in seeds:
        await attack(random.Random(SEED + seed))
    await eventually(lambda: not stack.endpoint._channels)
    stack.peers.clear()
    stack.connections.clear()


def usage() -> dict[str, int]:
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "blocks": sys.getallocatedblocks(),
    }


async def say(stack: Stack, data: bytes, chance: random.Random) -> bytes:
    """Send bytes in pieces; end, or go without a word; returns what came."""
    reader, writer = await asyncio.open_unix_connection(str(stack.path))
    told = b""
    with suppress(ConnectionError):
        for at in range(0, len(data), size := chance.choice([1000, 100, 4096])):
            writer.write(data[at : at + size])
            await writer.drain()
        if chance.random() < 0.7:
            writer.write_eof()
            told = await asyncio.wait_for(reader.read(), 30)
    writer.transport.abort()
    return told


async def test_bytes_of_strangers(stack: Stack) -> None:
    async def attack(chance: random.Random) -> None:
        told = await say(stack, mutated(chance.choice(CONVERSATIONS), chance), chance)
        assert b'"welcome"' not in told
        assert told == b"" or told.startswith(b"HTTP/1.1 ")
        check_errors(told)

    await nothing_grows(stack, attack)
    assert stack.ran == ["afterwards"]


class Stranger(Peer):
    """Says what he has to say at once."""

    def __init__(self, said: list[bytes]) -> None:
        super().__init__()
        self._said = said

    def on_open(self, channel: Channel, path: str) -> None:
        for text in self._said:
            channel.send_text(text)


async def test_messages_of_strangers(stack: Stack) -> None:
    async def attack(chance: random.Random) -> None:
        said = [mutated_json(chance.choice(WORDS), chance) for _ in range(3)]
        if chance.random() < 0.5:
            said.insert(0, WORDS[4])
        peer = Stranger([*said, b"end"])
        await peer.connect(stack)
        error = await peer.until_closed()
        assert error is not None
        assert type(error) in ERRORS_BY_CODE.values()
        assert error.message
        await peer.cut()

    await nothing_grows(stack, attack)
    assert stack.ran == ["afterwards"]


@pytest.mark.parametrize("role", ["controller", "operator"])
async def test_messages_of_whoever_is_attached(stack: Stack, role: Any) -> None:
    """He may submit and change the secret. What is no message ends his connection, and no more."""

    async def attack(chance: random.Random) -> None:
        secret = stack.secret.current
        peer = await attached(stack, Peer(secret=secret, role=role, takeover=True))
        for _ in range(5):
            peer.channel.send_text(mutated_json(chance.choice(WORDS), chance))
        peer.channel.send_text(b"end")
        error = await peer.until_closed()
        assert error is not None
        assert error.message
        assert all(rejected.message for rejected in peer.rejected)
        await peer.cut()
        await settled(stack)

    await nothing_grows_but_for(stack, attack)


@pytest.mark.parametrize("cut", [False, True])
async def test_frames_of_whoever_is_attached(stack: Stack, cut: bool) -> None:
    async def attack(chance: random.Random) -> None:
        peer = await attached(stack, Peer(secret=stack.secret.current, takeover=True))
        data = b"".join(
            frame(chance.choice(WORDS), chance.choice([0, 1, 1, 1, 2, 8, 9, 10])) for _ in range(4)
        )
        transport = peer.channel._transport
        assert transport is not None
        transport.write(mutated(data, chance) + frame(b"end"))
        if not cut and peer.closed is None:
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await peer.until_closed()
        await peer.cut()
        await settled(stack)

    await nothing_grows_but_for(stack, attack)


async def nothing_grows_but_for(
    stack: Stack, attack: Callable[[random.Random], Awaitable[None]]
) -> None:
    """What was accepted is kept until it is acknowledged, as it has to be."""

    async def and_acknowledge(chance: random.Random) -> None:
        await attack(chance)
        recorder = stack.recorder
        recorder.acknowledge(recorder.ledger.epoch, recorder.ledger.last_seq)
        stack.ran.clear()

    await nothing_grows_with(stack, and_acknowledge)


async def nothing_grows_with(
    stack: Stack, attack: Callable[[random.Random], Awaitable[None]]
) -> None:
    await rounds(stack, attack, range(ROUNDS // 3))
    before = usage()
    await rounds(stack, attack, range(ROUNDS // 3, ROUNDS))
    after = usage()
    for name in ("descriptors", "threads", "tasks"):
        assert after[name] <= before[name], name
    assert after["blocks"] - before["blocks"] < 30 * ROUNDS, (before, after)
    peer = await attached(stack, Peer(secret=stack.secret.current, takeover=True))
    peer.submit("afterwards", ExecAction(argv=("true",)))
    await peer.until_ended("afterwards")


async def settled(stack: Stack) -> None:
    await eventually(lambda: not stack.recorder.ledger.running)


@pytest.mark.parametrize("shown", [False, True])
async def test_bulk_connections(stack: Stack, shown: bool) -> None:
    async def attack(chance: random.Random) -> None:
        ticket = stack.tickets.issue()
        taking = asyncio.create_task(taken(stack, ticket))
        stream = BulkStream()
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, str(stack.path))
        _, channel = await loop.create_connection(
            lambda: client_channel("/bulk", stream), sock=connection
        )
        await stream.opened
        opening = OpenFrame(ticket=ticket).model_dump_json().encode()
        channel.send_text(opening if shown else mutated_json(opening, chance))
        for _ in range(3):
            data = mutated(chance.choice([opening, b'{"type":"end"}', bytes(300)]), chance)
            if chance.random() < 0.5:
                channel.send_text(data)
            else:
                channel.send_binary(data)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        channel.abort("cut")
        await channel.closed
        if not taking.done():
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)

    await nothing_grows(stack, attack)
    assert stack.tickets._waiting == {}


async def taken(stack: Stack, ticket: str) -> None:
    """As a handler does: all that comes is read, and what is wrong with it is one kind of error."""
    stream = await stack.tickets.redeemed(ticket)
    with suppress(TransferError):
        while await stream.read() is not None:
            pass


def check_errors(told: bytes) -> None:
    """Whatever is told is told precisely."""
    at = told.find(b'{"type":"error"')
    if at < 0:
        return
    error = json.JSONDecoder().raw_decode(told[at:].decode(errors="replace"))[0]
    assert error["code"] in ERRORS_BY_CODE
    assert error["message"]


async def test_a_flood_of_wrong_proofs_keeps_nobody_out(stack: Stack) -> None:
    """Hundreds at once, again and again: whoever knows the secret comes in all the same."""
    owner = await attached(stack, Peer())
    before = usage()

    async def intrude() -> None:
        peer = Stranger([WORDS[4], encode(ATTACH)])
        await peer.connect(stack)
        assert isinstance(await peer.until_closed(), Unauthorized)
        await peer.cut()

    for number in range(4):
        flood = asyncio.gather(*(intrude() for _ in range(100)))
        another = await attached(stack, Peer(role="operator"))
        another.submit(f"amid-{number}", ExecAction(argv=("true",)))
        await another.until_ended(f"amid-{number}")
        await flood
        await another.cut()
    assert owner.closed is None
    await eventually(lambda: len(stack.endpoint._channels) == 1)
    after = usage()
    assert after["descriptors"] <= before["descriptors"]
    assert after["tasks"] <= before["tasks"]
