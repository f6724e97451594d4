"""A network that goes silent tells neither end: whatever went over it is made anew."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tether_server import EventStreamRuntime, link
from tether_server.backends import local
from tether_server.record import sandbox_folder
from tether_server.transports import TcpTransport

from .proxy import Proxy


@pytest_asyncio.fixture
async def proxy(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Between this process and the sandbox `silent`."""

    async def connect() -> socket.socket:
        folder = os.open(sandbox_folder("silent") / "socket", os.O_PATH)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setblocking(False)
            connection.connect(f"/proc/self/fd/{folder}/client.sock")
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(folder)
        return connection

    async def address() -> tuple[str, int]:
        return "127.0.0.1", made.port

    made = Proxy(connect)
    await made.open()
    monkeypatch.setattr(local.LocalSandbox, "transports", lambda _: (TcpTransport(address),))
    monkeypatch.setattr(link, "PING_EVERY_S", 0.3)
    yield made
    await made.close()


async def test_processes_and_transfers_go_on(proxy: Proxy, tmp_path: Path) -> None:
    """The connection for events is pinged, and when it is given up, so are the others."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(8_000_000))
    async with EventStreamRuntime(backend="local", name="silent") as runtime:
        process = await runtime.spawn("echo on; read x; echo got $x; exit 3", stdin=True)
        assert await process.stdout.readline() == b"on\n"
        before = proxy.passed
        sending = asyncio.ensure_future(runtime.upload(source, str(tmp_path / "target")))
        await proxy.stop_after(1_000_000)
        assert proxy.lose() == 3
        proxy.go_on()
        await process.stdin.write(b"it\n")
        async with asyncio.timeout(30):
            assert await process.stdout.read() == b"got it\n"
            assert await process.wait() == 3
            await sending
        assert (tmp_path / "target").read_bytes() == source.read_bytes()
        assert proxy.passed - before < 2 * source.stat().st_size
