"""A client that connects out: who is taken for it, what is between, servers that come and go."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tether_runtime_client.dial import Dialler
from tether_runtime_client.kept_secret import KeptSecret, keep_secret
from tether_runtime_client.protocol import auth, dialling
from tether_runtime_client.protocol.accepting import MAX_STRANGERS
from tether_runtime_client.protocol.lines import read_line
from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    OperatorRuntime,
    StartFailed,
    TransportUnavailable,
)
from tether_server.transports import Dial, DialTransport, NoAnswer
from tether_server.transports.dial import MAX_OFFERED

ANY = ("127.0.0.1", 0)


@asynccontextmanager
async def listening(secret: str, address: tuple[str, int] = ANY) -> AsyncIterator[DialTransport]:
    transport = DialTransport(secret, address)
    transport.listen()
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def dialling_to(
    address: tuple[str, int],
    secret: str | KeptSecret,
    proxy: str | None = None,
    authority: str | None = None,
) -> AsyncIterator[list[socket.socket]]:
    """What was taken, an echo service each."""
    taken: list[socket.socket] = []
    echoes: list[asyncio.Task[None]] = []

    async def serve(connection: socket.socket) -> None:
        taken.append(connection)
        echoes.append(asyncio.create_task(_echo(connection)))

    secret_fd = keep_secret(b"unused" if isinstance(secret, KeptSecret) else secret.encode())
    kept = secret if isinstance(secret, KeptSecret) else KeptSecret(secret_fd)
    dialler = Dialler(address, kept, serve, proxy=proxy, authority=authority)
    dialler.start()
    try:
        yield taken
    finally:
        await dialler.close()
        os.close(secret_fd)
        for echo in echoes:
            echo.cancel()
        await asyncio.gather(*echoes, return_exceptions=True)
        for connection in taken:
            connection.close()


async def _echo(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(connection, 65536):
        await loop.sock_sendall(connection, data)


async def echoes(transport: DialTransport) -> None:
    loop = asyncio.get_running_loop()
    connection = await asyncio.wait_for(transport.connect(), 20)
    try:
        await loop.sock_sendall(connection, b"there and back")
        assert await asyncio.wait_for(loop.sock_recv(connection, 100), 20) == b"there and back"
    finally:
        connection.close()


async def test_many_are_taken_and_each_is_whole() -> None:
    secret = auth.new_secret()
    async with listening(secret) as transport, dialling_to(transport.listen(), secret) as taken:
        await asyncio.gather(*(echoes(transport) for _ in range(30)))
        assert len(taken) == 30


async def test_one_listener_for_two_sandboxes_and_their_secrets_apart() -> None:
    one, two = auth.new_secret(), auth.new_secret()
    async with listening(one) as first, listening(two, first.listen()) as second:
        assert first.listen() == second.listen()
        async with dialling_to(first.listen(), one) as ones, dialling_to(first.listen(), two):
            await echoes(first)
            assert len(ones) == 1
            await echoes(second)
            assert len(ones) == 1


@pytest.mark.parametrize("renewed", [False, True])
async def test_a_client_with_two_secrets_dials_by_each(renewed: bool) -> None:
    """Whether the server that changes it was killed before it had stored the new one or not."""
    first, second = auth.new_secret(), auth.new_secret()
    descriptor = keep_secret(first.encode())
    kept = KeptSecret(descriptor)
    async with listening(first) as transport, dialling_to(transport.listen(), kept):
        await asyncio.gather(*(echoes(transport) for _ in range(8)))
        kept.begin(second)
        if renewed:
            transport.renew(second)
        await asyncio.gather(*(echoes(transport) for _ in range(8)))
        if renewed:
            kept.finish()
            transport.renew(second)
            await asyncio.gather(*(echoes(transport) for _ in range(8)))
    os.close(descriptor)


async def test_what_is_on_offer_by_the_former_secret_goes() -> None:
    first, second = auth.new_secret(), auth.new_secret()
    async with listening(first) as transport, dialling_to(transport.listen(), first) as taken:
        await echoes(transport)
        transport.renew(second)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.connect(), 0.5)
        assert len(taken) == 1


async def test_a_second_user_of_the_same_sandbox_leaves_the_first_alone() -> None:
    secret = auth.new_secret()
    async with listening(secret) as first, dialling_to(first.listen(), secret):
        async with listening(secret, first.listen()) as second:
            await echoes(second)
        await echoes(first)


async def test_the_server_comes_late_and_goes_and_comes_again() -> None:
    secret = auth.new_secret()
    with socket.socket() as reserved:
        reserved.bind(ANY)
        address = reserved.getsockname()
    async with dialling_to(address, secret):
        for _ in range(3):
            async with listening(secret, address) as transport:
                await echoes(transport)


HOSTILE: list[Callable[[str], bytes]] = [
    lambda nonce: b"GET / HTTP/1.1\r\n\r\n",
    lambda nonce: b"x" * 1000,
    lambda nonce: b"\n",
    lambda nonce: f"{'0' * 32} {auth.new_nonce()} {'0' * 64}\n".encode(),
    lambda nonce: f"{dialling.sandbox_id(SECRET)} {auth.new_nonce()} {'0' * 64}\n".encode(),
]
SECRET = auth.new_secret()


@pytest.mark.parametrize("said", HOSTILE)
async def test_what_does_not_know_the_secret_is_never_taken(said: Callable[[str], bytes]) -> None:
    async with listening(SECRET) as transport:
        reader, writer = await asyncio.open_connection(*transport.listen())
        hello = await reader.readline()
        writer.write(said(hello.split()[-1].decode()))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        async with dialling_to(transport.listen(), SECRET):
            await echoes(transport)


async def test_a_proof_seen_before_is_worth_nothing() -> None:
    async with listening(SECRET) as transport:
        reader, writer = await asyncio.open_connection(*transport.listen())
        line, _ = dialling.answer(await reader.readline(), SECRET, auth.new_nonce())
        writer.close()
        reader, writer = await asyncio.open_connection(*transport.listen())
        await reader.readline()
        writer.write(line)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_listener_that_does_not_know_the_secret_gets_nothing() -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(dialling.hello(auth.new_nonce()))
        await reader.readline()
        writer.write(b"0" * 64 + b"\n" + dialling.GO + b"GET /events HTTP/1.1\r\n\r\n")
        try:
            asked.put_nowait(await reader.read())
        except ConnectionResetError:
            asked.put_nowait(b"")
        writer.close()

    server = await asyncio.start_server(pretend, *ANY)
    async with server, dialling_to(server.sockets[0].getsockname(), SECRET) as taken:
        assert await asyncio.wait_for(asked.get(), 20) == b""
        assert taken == []


async def test_a_line_takes_no_more_than_itself() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(b"a li")
        reading = asyncio.create_task(read_line(ours, 100))
        await asyncio.sleep(0)
        theirs.sendall(b"ne\nand more")
        assert await reading == b"a line\n"
        assert ours.recv(100) == b"and more"
        theirs.sendall(b"x" * 200)
        with pytest.raises(ConnectionError, match="more than 100 bytes"):
            await read_line(ours, 100)


# --- through a proxy


@asynccontextmanager
async def http_proxy(
    host: str = "127.0.0.1", pair: str | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that knows CONNECT; its port, and the targets that were asked for."""
    targets: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        targets.append(target := head.split()[1])
        asked = f"Basic {base64.b64encode(pair.encode()).decode()}" if pair else ""
        if asked not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nX: y\r\n\r\n")
            writer.close()
            return
        name, _, port = target.rpartition(":")
        away, back = await asyncio.open_connection(name, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await asyncio.gather(_copy(reader, back), _copy(away, writer))

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], targets
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_through_a_proxy_that_asks_who_it_is() -> None:
    secret = auth.new_secret()
    async with http_proxy(pair="me:p@ss") as (port, targets), listening(secret) as transport:
        address = transport.listen()
        async with dialling_to(address, secret, f"http://me:p%40ss@127.0.0.1:{port}"):
            await echoes(transport)
        assert set(targets) == {f"127.0.0.1:{address[1]}"}


async def test_a_proxy_that_refuses_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    secret = auth.new_secret()
    async with (
        http_proxy(pair="me:pass") as (port, targets),
        listening(secret) as transport,
        dialling_to(transport.listen(), secret, f"http://127.0.0.1:{port}") as taken,
    ):
        async with asyncio.timeout(20):
            while len(targets) < 5:
                await asyncio.sleep(0.01)
        assert taken == []
    assert "the proxy refuses the way to 127.0.0.1:" in caplog.text
    assert "407 Proxy Authentication Required" in caplog.text


async def test_strangers_by_the_hundred_keep_nobody_out() -> None:
    async with listening(SECRET) as transport:
        address = transport.listen()
        silent = [await asyncio.open_connection(*address) for _ in range(MAX_STRANGERS + 20)]
        async with dialling_to(address, SECRET):
            await echoes(transport)
        for _, writer in silent:
            writer.close()


async def test_a_client_that_offers_too_much() -> None:
    """Who knows the secret can still keep no more than so many descriptors here."""
    async with listening(SECRET) as transport:
        address = transport.listen()
        before = len(os.listdir("/proc/self/fd"))
        offered = []
        for _ in range(MAX_OFFERED + 20):
            reader, writer = await asyncio.open_connection(*address)
            line, expected = dialling.answer(await reader.readline(), SECRET, auth.new_nonce())
            writer.write(line)
            assert await reader.readline() == expected
            offered.append((reader, writer))
        assert await asyncio.wait_for(offered[0][0].read(), 20) == b""
        own = len(offered)
        assert len(os.listdir("/proc/self/fd")) - before - own <= MAX_OFFERED + 1
        offered[-1][1].write(b"it is not my turn")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(offered[-1][0].read(), 20) == b""
        for _, writer in offered:
            writer.close()


async def test_an_address_that_another_program_has() -> None:
    with socket.create_server(ANY) as other:
        transport = DialTransport(SECRET, other.getsockname())
        with pytest.raises(NoAnswer, match="its server listens there, or another program") as seen:
            await transport.connect()
    assert seen.value.kind == "busy"


# --- with a sandbox


async def works(runtime: EventStreamRuntime) -> None:
    seen = await runtime.run(CmdRunAction(command="echo here"))
    assert seen.content == "here\n"


@pytest.mark.engine
async def test_a_container_behind_a_proxy_and_another_server(debian: str, bridge: str) -> None:
    """Its only way here is the proxy: the server listens on loopback, which in the container is
    another. It outlives a server, and the next one is found.
    """
    async with http_proxy(bridge) as (port, targets):
        dial = Dial(address="192.0.2.1:7000", listen="127.0.0.1:0", proxy=f"http://{bridge}:{port}")
        dial = Dial(address="127.0.0.1:0", listen="127.0.0.1:0", proxy=f"http://{bridge}:{port}")
        async with EventStreamRuntime(debian, transport=dial, keep=True) as first:
            assert first.connection.startswith("dial: 127.0.0.1:")
            await works(first)
            async with OperatorRuntime.beside(first.name) as operator:
                await works(operator)
            await works(first)
        async with EventStreamRuntime.attach(first.name) as second:
            assert second.connection.startswith("dial: ")
            await works(second)
            await second.close(keep=False)
        assert len(targets) > 4


@pytest.mark.engine
async def test_why_a_client_does_not_come_through(
    debian: str, bridge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own account is in the error; the container is gone by then."""
    monkeypatch.setattr("tether_server.transports.dial.OFFER_TIMEOUT_S", 1.0)
    dial = Dial(address="127.0.0.1:1", listen="127.0.0.1:0", proxy=f"http://{bridge}:1")
    with pytest.raises(TransportUnavailable) as caught:
        await EventStreamRuntime(debian, transport=dial).start()
    assert "the client has not dialled 127.0.0.1:1 within 1 s" in caught.value.message
    assert "dialling 127.0.0.1:1 failed: [Errno 111]" in caught.value.data["log"]
    assert "It is not the client: unix answers in" in caught.value.message


@pytest.mark.engine
async def test_an_address_that_is_not_this_machine_s(debian: str) -> None:
    with pytest.raises(StartFailed, match=r"cannot listen at 192\.0\.2\.1:7000") as caught:
        await EventStreamRuntime(debian, transport=Dial(address="192.0.2.1:7000")).start()
    assert "`listen`" in caught.value.hint
    with pytest.raises(StartFailed, match="no way leads to this server"):
        await EventStreamRuntime(debian, transport="dial", network="none").start()


@pytest.mark.parametrize("wrong", [{"address": "x"}, {"proxy": "socks://x:1"}, {"listen": "a:b"}])
def test_settings_that_cannot_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is no (address|proxy)"):
        Dial(**wrong)
