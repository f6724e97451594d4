"""The proxy itself: it stops at the byte it was told, and what it does to connections is seen."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from .proxy import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server behind a proxy; it says `number:` to each that comes, and then what it hears."""

    def __init__(self) -> None:
        self.count = 0
        self.port = 0
        self.proxy = Proxy(self.connect)

    async def connect(self) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        writer.write(b"%d:" % self.count)
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    await made.proxy.open()
    yield made
    await made.proxy.close()
    server.close()


async def test_it_stops_at_the_byte(echo: Echo) -> None:
    async with echo.connected() as (reader, writer):
        assert await reader.readexactly(2) == b"1:"
        stopped = asyncio.ensure_future(echo.proxy.stop_after(15))
        await asyncio.sleep(0)
        writer.write(b"0123456789")
        await asyncio.wait_for(stopped, 5)
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"01234"
        assert echo.proxy.passed == 17
        echo.proxy.go_on()
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"56789"


async def test_byte_by_byte_nothing_is_lost(echo: Echo) -> None:
    async with echo.connected() as (reader, writer):
        echo.proxy.split_left = 300
        writer.write(b"x" * 1000)
        assert len(await asyncio.wait_for(reader.readexactly(1002), 5)) == 1002
        assert echo.proxy.pieces_split == 300


@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_ends_both_sides(echo: Echo, reset: bool) -> None:
    async with echo.connected() as (reader, _):
        await reader.readexactly(2)
        assert echo.proxy.cut(reset=reset) == 1
        if reset:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
        else:
            assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_silent_connection_tells_nobody(echo: Echo) -> None:
    async with echo.connected() as (reader, writer), echo.connected() as (other, _):
        await asyncio.gather(reader.readexactly(2), other.readexactly(2))
        passed = echo.proxy.passed
        assert echo.proxy.lose() == 2
        writer.write(b"x")
        async with echo.connected() as (third, _):
            assert await asyncio.wait_for(third.readexactly(2), 5) == b"3:"
        assert echo.proxy.passed == passed + 2
        assert not reader.at_eof()


async def test_attempts_are_dropped_and_swallowed(echo: Echo) -> None:
    last = asyncio.ensure_future(echo.proxy.receive("drop", "swallow"))
    await asyncio.sleep(0)
    async with echo.connected() as (dropped, _):
        assert await asyncio.wait_for(dropped.read(), 5) == b""
    async with echo.connected() as (swallowed, writer):
        await asyncio.wait_for(last, 5)
        writer.write(b"hello")
        async with echo.connected() as (reader, _):
            assert await asyncio.wait_for(reader.readexactly(2), 5) == b"1:"
        assert not swallowed._buffer  # type: ignore[attr-defined]
    assert echo.proxy.attempts == 3


async def test_the_later_attempt_comes_first(echo: Echo) -> None:
    held = asyncio.ensure_future(echo.proxy.receive("hold"))
    await asyncio.sleep(0)
    async with echo.connected() as (first, _):
        await asyncio.wait_for(held, 5)
        async with echo.connected() as (second, _):
            assert await asyncio.wait_for(second.readexactly(2), 5) == b"1:"
            assert await asyncio.wait_for(first.readexactly(2), 5) == b"2:"
