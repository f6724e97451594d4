"""A probe tells what is wrong with a way by what comes back on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import Unauthorized
from tether_server import EventStreamRuntime, TransportUnavailable
from tether_server.transports import NoAnswer, TcpTransport, Transport, choose, probe

SECRET = auth.new_secret()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def to(port: int) -> TcpTransport:
    async def address() -> tuple[str, int]:
        return "127.0.0.1", port

    return TcpTransport(address)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def serve_pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    writer.close()


async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("serve", "kind", "words"),
    [
        (hang_up, "closed", "empty reply"),
        (say_nothing, "silent", "nobody answers in 0.2 s"),
        (serve_pages, "foreign", "no runtime client"),
        (speak_first, "foreign", "no runtime client"),
    ],
)
async def test_what_a_broken_way_is_like(serve: Serve, kind: str, words: str) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(NoAnswer, match=words) as caught:
            await probe(to(server.sockets[0].getsockname()[1]), SECRET, 0.2)
        assert caught.value.kind == kind


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="nobody listens") as caught:
            await probe(to(unused.getsockname()[1]), SECRET)
    assert caught.value.kind == "refused"


async def test_a_queue_that_is_full() -> None:
    """What is dropped on the way: the connection does not come to be."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fill = [socket.socket() for _ in range(3)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(NoAnswer) as caught:
            await probe(to(port), SECRET, 0.2)
        assert caught.value.kind == "unreachable"
        for one in fill:
            one.close()


async def test_the_first_that_works_is_taken_and_the_others_are_told_of() -> None:
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, EventStreamRuntime(backend="local") as runtime:
        broken = to(server.sockets[0].getsockname()[1])
        assert runtime._link is not None
        good, secret = runtime._link.transport, runtime._spec.secret
        choice = await choose("auto", [broken, good], secret)
        assert choice.transport is good
        assert "tcp does not work: " in choice.why
        assert "unix answers in " in choice.why
        with pytest.raises(TransportUnavailable, match="empty reply") as caught:
            await choose("tcp", [broken, good], secret)
        assert "empty reply" in caught.value.data["tried"]["tcp"]
        with pytest.raises(TransportUnavailable, match="not set up for transport 'exec'"):
            await choose("exec", [broken, good], secret)
        with pytest.raises(Unauthorized):
            await choose("unix", [broken, good], SECRET)


async def test_a_silent_one_holds_nobody_up() -> None:
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server, EventStreamRuntime(backend="local") as runtime:
        silent: Transport = to(server.sockets[0].getsockname()[1])
        assert runtime._link is not None
        candidates = [silent, runtime._link.transport]
        async with asyncio.timeout(silent.patience_s / 2):
            choice = await choose("auto", candidates, runtime._spec.secret)
        assert choice.transport.name == "unix"
