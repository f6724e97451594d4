"""What becomes of a forward when the client or its container goes and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest
import pytest_asyncio

from tether_server import (
    ClientStarted,
    EventStreamRuntime,
    PortClosed,
    SandboxStopped,
)
from tether_server.backends import container as container_backend
from tether_server.backends.engine_address import engine_address
from tether_server.ports import ready
from tether_server.record import load_record

from .services import SOURCE, closed, connected, eventually, service, told


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sandbox for each test here."""
    monkeypatch.setenv("TETHER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest_asyncio.fixture
async def outside() -> AsyncIterator[int]:
    """A service that no sandbox started: with the local backend it is inside all the same, and
    lives on when the client dies.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SOURCE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    yield int(await process.stdout.readline())
    process.kill()
    await process.wait()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def client_of(runtime: EventStreamRuntime) -> int:
    return [e.pid for e in runtime.events.since(0) if isinstance(e, ClientStarted)][-1]


async def test_a_killed_client_breaks_what_stands_and_new_ones_wait_for_the_next(
    outside: int,
) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        forward = await runtime.forward(outside)
        reader, writer = await connected(forward.address, "echo")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        os.kill(client_of(runtime), signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        await closed(writer)
        waited = asyncio.gather(*(told(forward.address, "echo", b"%d " % n) for n in range(20)))
        assert await asyncio.wait_for(waited, 60) == [b"%d bye" % n for n in range(20)]
        assert forward.counts.broken == 1


async def test_the_wait_is_bounded(outside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "WAIT_S", 0.5)
    async with EventStreamRuntime(backend="local") as runtime:
        forward = await runtime.forward(outside)
        pid = client_of(runtime)
        os.kill(pid, signal.SIGSTOP)  # it is there, and does nothing
        try:
            forward.cut()
            reader, writer = await connected(forward.address, "echo")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 30)
            await closed(writer)
            assert forward.counts.failed == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda: forward._ready.lease.held)
        assert await told(forward.address, "echo") == b"bye"


async def test_it_ends_with_the_sandbox(outside: int) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        forward = await runtime.forward(outside)
        record = load_record(runtime.name)
        os.kill(int(record.handle["pid"]), signal.SIGKILL)
        async with asyncio.timeout(30):
            async for event in runtime.events.subscribe():
                if isinstance(event, SandboxStopped):
                    break
        await eventually(lambda: forward.closed)
        assert forward.problem is not None
        await eventually(lambda: is_free(forward.port))
        assert not runtime.ports


@pytest.mark.engine
async def test_a_restarted_container(debian: str) -> None:
    client = docker.from_env(version="auto")
    try:
        async with EventStreamRuntime(debian, network="none") as runtime:
            async with service(runtime) as port:
                assert isinstance(port, int)
                forward = await runtime.forward(port)
                reader, writer = await connected(forward.address, "echo")
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                container = client.containers.get(load_record(runtime.name).handle["container"])
                restart = asyncio.create_task(asyncio.to_thread(container.restart, timeout=5))
                await eventually(lambda: not forward._ready.lease.held)
                early, waiting = await connected(forward.address)
                await restart
                with suppress(ConnectionResetError):  # or the service had time to close it
                    assert await asyncio.wait_for(reader.read(), 30) == b""
                await closed(writer)
                # Nobody listens inside after the restart, which is seen once the client is back.
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(early.read(), 60)
                await closed(waiting)
            async with service(runtime) as port:
                again = await runtime.forward(port)
                assert await told(again.address, "echo", b"back ") == b"back bye"
            assert not forward.closed
            assert not [e for e in runtime.events.since(0) if isinstance(e, PortClosed)]
    finally:
        client.close()


@pytest.mark.engine
async def test_a_stopped_container_that_is_started_again(
    debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "WAIT_S", 0.5)
    monkeypatch.setattr(container_backend, "RESTART_S", 0.5)
    client = docker.from_env(version="auto")
    runtime = EventStreamRuntime(debian, network="none", keep=True)
    try:
        async with runtime:
            async with service(runtime, "/tmp/app") as path:
                forward = await runtime.forward(path)
                assert await told(forward.address, "echo") == b"bye"
            reverse = await runtime.reverse(forward.port)
            container = client.containers.get(load_record(runtime.name).handle["container"])
            await asyncio.to_thread(container.stop, timeout=1)
            await eventually(lambda: not runtime._active._running.is_set())
            reader, writer = await connected(forward.address)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 30)
            await closed(writer)
            await asyncio.to_thread(container.start)
            async with service(runtime, "/tmp/app"):
                assert await told(forward.address, "echo", b"back ") == b"back bye"
                await eventually(lambda: reverse._lease.held)
            assert set(runtime.ports) == {forward, reverse}
            assert not [e for e in runtime.events.since(0) if isinstance(e, PortClosed)]
            await asyncio.to_thread(container.stop, timeout=1)
            await eventually(lambda: not runtime._active._running.is_set())
            await asyncio.to_thread(container.remove, v=True)
            await eventually(lambda: forward.closed and reverse.closed)
    finally:
        await runtime.close(keep=False)
        client.close()


@pytest.mark.engine
async def test_two_services_from_another_network(debian: str) -> None:
    """Actions and evaluation, of a sandbox without a network, for a client in a network of its
    own: a container that has this machine's address only.
    """
    client = docker.from_env(version="auto")
    try:
        gateway = engine_address(client, "bridge")
    finally:
        client.close()
    token = "for-the-client-over-there"
    async with (
        EventStreamRuntime(debian, network="none") as sandbox,
        EventStreamRuntime(debian, network="bridge") as other,
        service(sandbox) as actions,
        service(sandbox) as evaluation,
    ):
        assert actions != evaluation
        both = [
            await sandbox.forward(port, bind="0.0.0.0", token=token)
            for port in (actions, evaluation)
        ]
        ports = [forward.port for forward in both]
        program = f"""
import http.client
both = [http.client.HTTPConnection({gateway!r}, port, timeout=30) for port in {ports}]
for turn in range(3):
    for connection in both:
        connection.request("GET", "/", headers={{"Authorization": "Bearer {token}"}})
    print(*(connection.getresponse().read()[:1].decode() for connection in both))
"""
        seen = await other.exec(["/opt/tether/bin/python3", "-c", program])
        assert seen.stdout == b"1 1\n2 2\n3 3\n", seen.stderr
        assert [forward.counts.connections for forward in both] == [1, 1]


async def test_a_reverse_is_to_be_had_at_the_same_place_after_the_client_was_killed(
    outside: int, tmp_path: Path
) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        by_port = await runtime.reverse(outside, port=0)
        path = str(tmp_path / "inside")
        await runtime.reverse(outside, path=path)
        old = by_port.port
        os.kill(client_of(runtime), signal.SIGKILL)
        await eventually(lambda: not by_port._lease.held)
        await eventually(lambda: by_port._lease.held)
        assert by_port.port == old
        assert await told(("127.0.0.1", old), "echo", b"again ") == b"again bye"
        async with asyncio.timeout(30):
            while True:
                with suppress(OSError):
                    assert await told(path, "echo", b"by path ") == b"by path bye"
                    break
                await asyncio.sleep(0.05)
