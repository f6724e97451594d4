"""Where the client listens: sockets made and removed, strangers bounded, paths of any length."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.client import ClientProtocol
from websockets.uri import WebSocketURI

from tether_runtime_client import endpoint as module
from tether_runtime_client.endpoint import Endpoint
from tether_runtime_client.protocol.bulk import BulkStream, FailFrame
from tether_runtime_client.protocol.channel import client_channel
from tether_runtime_client.tickets import Tickets

from .client_stack import Peer, Stack, attached, eventually, running


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """One that serves nothing on /events."""
    made = Endpoint(lambda: None, Tickets())  # type: ignore[arg-type, return-value]
    yield made
    await made.close()


async def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, str(path))
    except OSError:
        connection.close()
        raise
    return connection


async def read_all(connection: socket.socket) -> bytes:
    loop, found = asyncio.get_running_loop(), b""
    with suppress(ConnectionResetError):
        while data := await loop.sock_recv(connection, 65536):
            found += data
    return found


async def ask_for(connection: socket.socket, path: str) -> str:
    """The status line that a websocket request for a path gets."""
    core = ClientProtocol(WebSocketURI(False, "x", 80, path, ""))
    core.send_request(core.connect())
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, b"".join(core.data_to_send()))
    return (await loop.sock_recv(connection, 65536)).split(b"\r\n")[0].decode()


# --- UNIX sockets ------------------------------------------------------------------------------


async def test_anybody_may_knock_and_nothing_stays_behind(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "client.sock"
    await endpoint.listen_unix(path)
    assert path.is_socket()
    assert path.stat().st_mode & 0o777 == 0o666
    await endpoint.close()
    assert not path.exists()


async def test_a_path_longer_than_the_kernel_takes(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    await endpoint.listen_unix(folder / "client.sock")
    descriptor = os.open(folder, os.O_PATH)
    connection = await connected(Path(f"/proc/self/fd/{descriptor}/client.sock"))
    os.close(descriptor)
    assert "404" in await ask_for(connection, "/events")
    connection.close()


async def test_a_stale_socket_makes_room(endpoint: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "client.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    await endpoint.listen_unix(path)
    (await connected(path)).close()


@pytest.mark.parametrize("what", ["file", "folder", "link to a socket", "dangling link"])
async def test_anything_else_in_the_way_is_an_error(
    endpoint: Endpoint, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "client.sock"
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
        if what == "link to a socket":
            other = socket.socket(socket.AF_UNIX)
            other.bind(str(tmp_path / "elsewhere"))
            other.close()
    with pytest.raises(FileExistsError, match="in the way"):
        await endpoint.listen_unix(path)
    assert os.path.lexists(path)


async def test_a_missing_folder_is_an_error(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await endpoint.listen_unix(tmp_path / "no" / "client.sock")


async def test_a_successors_socket_is_not_removed(endpoint: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "client.sock"
    await endpoint.listen_unix(path)
    path.unlink()
    successor = socket.socket(socket.AF_UNIX)
    successor.bind(str(path))
    await endpoint.close()
    assert path.is_socket()
    successor.close()


async def test_a_socket_that_an_agent_removed_is_no_trouble(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "client.sock"
    await endpoint.listen_unix(path)
    path.unlink()
    await endpoint.close()


# --- TCP ---------------------------------------------------------------------------------------


async def test_a_tcp_port_and_a_second_client_on_it(endpoint: Endpoint) -> None:
    port = await endpoint.listen_tcp("127.0.0.1", 0)
    assert port > 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"garbage\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    other = Endpoint(lambda: None, Tickets())  # type: ignore[arg-type, return-value]
    with pytest.raises(OSError, match="address already in use"):
        await other.listen_tcp("127.0.0.1", port)
    await other.close()


# --- connections -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/event", "/events/", "/events?x=1", "/bulk/../events"])
async def test_other_paths_are_not_served(stack: Stack, path: str) -> None:
    connection = await connected(stack.path)
    assert "404" in await ask_for(connection, path)
    connection.close()


@pytest.mark.parametrize(
    "data", [b"\0" * 70_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01" * 900]
)
async def test_bytes_that_are_no_websocket_do_no_harm(stack: Stack, data: bytes) -> None:
    connection = await connected(stack.path)
    await asyncio.get_running_loop().sock_sendall(connection, data)
    connection.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(read_all(connection), 5)
    connection.close()
    await attached(stack)


async def test_strangers_are_bounded_and_the_oldest_has_to_go(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that only opens connections keeps nobody out."""
    monkeypatch.setattr(module, "MAX_STRANGERS", 5)
    controller = await attached(stack)
    strangers = [await connected(stack.path) for _ in range(20)]
    for gone in strangers[:15]:
        assert await asyncio.wait_for(read_all(gone), 5) == b""
    assert len(stack.endpoint._channels) == 6
    operator = await attached(stack, Peer(role="operator"))
    assert controller.closed is None
    assert operator.closed is None
    for stranger in strangers:
        stranger.close()
    await eventually(lambda: len(stack.endpoint._channels) == 2)


async def test_even_known_peers_are_bounded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    for _ in range(3):
        await attached(stack, Peer(role="operator"))
    one_more = await connected(stack.path)
    assert "404" in await ask_for(one_more, "/events")
    one_more.close()


async def test_a_bulk_connection_without_ticket_is_refused(stack: Stack) -> None:
    stream = BulkStream()
    loop = asyncio.get_running_loop()
    connection = await connected(stack.path)
    channel = client_channel("/bulk", stream)
    await loop.create_connection(lambda: channel, sock=connection)
    await stream.opened
    await stream.write(b"no ticket")
    assert isinstance(await stream.read(), FailFrame)
    assert await stream.read() is None
    await channel.closed


# --- stopping ----------------------------------------------------------------------------------


async def test_at_the_end_peers_are_told_and_get_what_was_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        peer = await attached(stack)
        stream = BulkStream()
        connection = await connected(stack.path)
        channel = client_channel("/bulk", stream)
        await asyncio.get_running_loop().create_connection(lambda: channel, sock=connection)
        await stream.opened
        await stack.endpoint.close()
        assert peer.closed == "the runtime client stops"
        assert stream.closed_because == "the runtime client stops"
        assert not stack.path.exists()
        assert not stack.endpoint._channels
        with pytest.raises(OSError, match="No such file"):
            await connected(stack.path)


async def test_a_peer_that_does_not_close_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_GRACE_S", 0.1)
    async with running(tmp_path) as stack:
        peer = await attached(stack)
        peer.channel.pause_reading()
        stranger = await connected(stack.path)
        async with asyncio.timeout(2):
            await stack.endpoint.close()
        stranger.close()
