"""Through a real SSH server: whom it takes for it, and what is told of what lies behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.message import changed
from tether_server import EventStreamRuntime, Ssh, StartFailed
from tether_server.transports import NoAnswer, SshTransport, probe
from tether_server.transports.tcp import Address

from .conftest import Sshd, running_sshd, settings_for

SECRET = auth.new_secret()


@asynccontextmanager
async def through(settings: Ssh, address: Address) -> AsyncIterator[SshTransport]:
    async def find_address() -> Address:
        return address

    transport = SshTransport(settings, find_address)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def echo() -> AsyncIterator[Address]:
    """Answers with all that came, once all has come."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


async def test_half_a_close_and_many_channels(ssh_settings: Ssh) -> None:
    content = os.urandom(1_000_000)

    async def there_and_back(transport: SshTransport) -> bytes:
        reader, writer = await asyncio.open_connection(sock=await transport.connect())
        writer.write(content)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()

    async with echo() as address, through(ssh_settings, address) as transport:
        seen = await asyncio.gather(*(there_and_back(transport) for _ in range(10)))
        assert set(seen) == {content}


async def test_a_server_whose_key_is_another(sshd: Sshd, tmp_path: Path) -> None:
    unknown = tmp_path / "known_hosts"
    unknown.write_text("")
    settings = changed(settings_for(sshd), known_hosts=str(unknown))
    async with echo() as address, through(settings, address) as transport:
        with pytest.raises(NoAnswer, match=r"the key of SSH server .* is not the one in"):
            await transport.connect()


async def test_a_key_that_is_not_let_in(sshd: Sshd) -> None:
    settings = changed(settings_for(sshd), key=str(sshd.key.parent / "host"))
    async with echo() as address, through(settings, address) as transport:
        with pytest.raises(NoAnswer, match=r"no SSH connection to .*: Permission denied"):
            await transport.connect()


async def test_the_tunnel_is_up_and_the_hop_behind_it_is_down(ssh_settings: Ssh) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with through(ssh_settings, ("127.0.0.1", port)) as transport:
            with pytest.raises(NoAnswer) as caught:
                await probe(transport, SECRET)
    assert caught.value.kind == "hop"
    text = f"works, and the hop behind it is down: from there 127.0.0.1:{port} does not answer"
    assert text in str(caught.value)
    assert "Connection refused" in str(caught.value)


async def test_a_server_that_forbids_to_go_on() -> None:
    with running_sshd("AllowTcpForwarding no") as sshd:
        async with through(settings_for(sshd), ("127.0.0.1", 1)) as transport:
            with pytest.raises(NoAnswer, match="its server forbids going on") as caught:
                await transport.connect()
    assert caught.value.kind == "hop"


async def test_a_tunnel_that_is_killed_is_made_anew(ssh_settings: Ssh, sshd: Sshd) -> None:
    async with echo() as address, through(ssh_settings, address) as transport:
        first = await transport.connect()
        for pid in Path(f"/proc/{sshd.pid}/task/{sshd.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(first, 10), 20) == b""
        first.close()
        second = await transport.connect()
        await loop.sock_sendall(second, b"again")
        second.shutdown(socket.SHUT_WR)
        assert await asyncio.wait_for(loop.sock_recv(second, 10), 20) == b"again"
        second.close()


async def test_nobody_is_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = Ssh(host=f"127.0.0.1:{unused.getsockname()[1]}")
        async with through(settings, ("127.0.0.1", 1)) as transport:
            with pytest.raises(NoAnswer, match="no SSH connection to") as caught:
                await transport.connect()
    assert caught.value.kind == "unreachable"


@pytest.mark.engine
async def test_a_host_has_to_be_named_where_the_engine_s_address_has_none(debian: str) -> None:
    with pytest.raises(StartFailed, match="DOCKER_HOST names none") as caught:
        await EventStreamRuntime(debian, transport="ssh").start()
    assert "Ssh(host=" in caught.value.hint


@pytest.mark.parametrize("host", ["", "a b/c", "user:password@host", "host:port"])
def test_hosts_that_cannot_be(host: str) -> None:
    with pytest.raises(ValueError, match=r"SSH server|[Pp]ort"):
        Ssh(host=host)
