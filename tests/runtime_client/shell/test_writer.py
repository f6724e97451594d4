"""Bytes for a descriptor: what does not fit follows, in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tether_runtime_client.shell.writer import Writer

LARGE = bytes(range(256)) * 8192  # 2 MiB: more than a socket holds


class Line:
    """A writer, and the other end of its socket."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        self.writer = Writer(self.ours.fileno(), self._write)

    def _write(self, data: bytes | memoryview) -> int:
        try:
            return self.ours.send(data)
        except BlockingIOError:
            return 0

    async def read(self, count: int) -> bytes:
        loop, found = asyncio.get_running_loop(), bytearray()
        async with asyncio.timeout(20):
            while len(found) < count:
                found += await loop.sock_recv(self.theirs, 65536)
        return bytes(found)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    line.writer.stop()
    line.ours.close()
    line.theirs.close()


async def test_what_fits_is_there_at_once(line: Line) -> None:
    line.writer.write(b"one")
    line.writer.write(b"two")
    assert line.writer.left == 0
    assert line.theirs.recv(100) == b"onetwo"


async def test_the_rest_follows_in_order(line: Line) -> None:
    line.writer.write(LARGE)
    before = line.writer.left
    line.writer.write(b"end")
    assert line.writer.left == before + 3 > 3
    assert await line.read(len(LARGE) + 3) == LARGE + b"end"
    assert line.writer.left == 0
    line.writer.write(b"again")
    assert line.theirs.recv(100) == b"again"


async def test_what_was_dropped_does_not_follow(line: Line) -> None:
    line.writer.write(LARGE)
    written = len(LARGE) - line.writer.left
    line.writer.drop()
    line.writer.drop()
    line.writer.write(b"end")
    assert await line.read(written + 3) == LARGE[:written] + b"end"
