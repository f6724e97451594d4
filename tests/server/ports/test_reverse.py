"""A port of here, inside: that one, and no other."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tether_runtime_client.protocol.port_frames import TicketsFrame
from tether_server import EventStreamRuntime, PortTaken, PortTrouble, PortUnusable
from tether_server.ports import reverse as module

from .services import SOURCE, closed, connected, eventually, told

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def here() -> AsyncIterator[int]:
    """The service, on this machine's own loopback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SOURCE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    yield int(await process.stdout.readline())
    process.kill()
    await process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# With the local backend "inside" is this machine too, so the ports there are others.


async def test_it_is_reached_from_inside(runtime: EventStreamRuntime, here: int) -> None:
    inside = free_port()
    async with await runtime.reverse(here, port=inside) as reverse:
        assert str(reverse) == f"http://127.0.0.1:{inside}"
        program = (
            f"import socket; s = socket.create_connection(('127.0.0.1', {inside}));"
            "s.sendall(b'echo\\nfrom inside '); s.shutdown(1); print(s.makefile().read())"
        )
        seen = await runtime.exec([sys.executable, "-c", program])
        assert seen.stdout == b"from inside bye\n"
        assert reverse.counts.connections == 1
    await eventually(lambda: not listens(inside))  # the sandbox is told, and takes a moment


async def test_a_hundred_at_once_and_much_at_once(runtime: EventStreamRuntime, here: int) -> None:
    reverse = await runtime.reverse(here, port=0)
    address = ("127.0.0.1", reverse.port)
    before = runtime.events.last_seq
    answers = await asyncio.gather(
        *(told(address, "echo", b"%d " % number) for number in range(100))
    )
    assert answers == [b"%d bye" % number for number in range(100)]
    assert runtime.events.last_seq == before
    assert len(await told(address, f"send {50_000_000}")) == 50_000_000
    assert await told(address, "sink", bytes(5_000_000)) == b"5000000"


async def test_nobody_here_is_a_reset_there(runtime: EventStreamRuntime) -> None:
    reverse = await runtime.reverse(free_port(), port=0)
    before = runtime.events.last_seq
    reader, writer = await connected(("127.0.0.1", reverse.port))
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 30)
    await closed(writer)
    [event] = [e for e in runtime.events.since(before) if isinstance(e, PortTrouble)]
    assert event.direction == "reverse"
    assert "takes no connection" in event.reason


async def test_paths_at_either_end(runtime: EventStreamRuntime, here: int, tmp_path: Path) -> None:
    inside = str(tmp_path / "inside")
    reverse = await runtime.reverse(here, path=inside)
    assert str(reverse) == inside
    assert await told(inside, "echo", b"by path ") == b"by path bye"
    listening = await asyncio.start_unix_server(_greet, tmp_path / "host")
    async with listening:
        other = await runtime.reverse(str(tmp_path / "host"), port=0)
        assert await told(("127.0.0.1", other.port), "") == b"hello"


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()
    await writer.wait_closed()


async def test_one_for_each_port(runtime: EventStreamRuntime, here: int) -> None:
    reverse = await runtime.reverse(here, port=0)
    assert await runtime.reverse(here, port=0) is reverse
    with pytest.raises(PortTaken, match="is to be had inside at"):
        await runtime.reverse(here, port=free_port())
    with pytest.raises(PortTaken, match="in the sandbox is in use"):
        await runtime.reverse(free_port(), port=reverse.port)
    with pytest.raises(PortUnusable, match=r"listened on: Cannot assign requested address\. "):
        await runtime.reverse(free_port(), bind="192.0.2.1")
    with pytest.raises(PortTaken, match="in the sandbox is there already, and no socket"):
        await runtime.reverse(here, path="/etc/passwd")


async def test_a_cut_lease_goes_on_with_the_same_listener(
    runtime: EventStreamRuntime, here: int
) -> None:
    reverse = await runtime.reverse(here, port=0)
    address = ("127.0.0.1", reverse.port)
    reader, writer = await connected(address, "echo")
    writer.write(b"one ")
    assert await reader.readexactly(4) == b"one "
    runtime.cut_connection()
    assert await told(address, "echo", b"two ") == b"two bye"
    writer.write(b"three ")
    writer.write_eof()
    assert await reader.read() == b"three bye"
    await closed(writer)


async def test_the_sandbox_is_not_heard_while_there_are_too_many(
    runtime: EventStreamRuntime, here: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    reverse = await runtime.reverse(here, port=0)
    address = ("127.0.0.1", reverse.port)
    idle = [await connected(address, "echo") for _ in range(3)]
    await eventually(lambda: reverse.counts.open == 3)
    waiting = [asyncio.create_task(told(address, "echo", b"late ")) for _ in range(20)]
    await asyncio.sleep(0.2)
    assert reverse.counts.connections == 3
    for _, writer in idle:
        await closed(writer)
    assert await asyncio.gather(*waiting) == [b"late bye"] * 20


async def test_tickets_that_nobody_gave_out_lead_nowhere(
    runtime: EventStreamRuntime, here: int
) -> None:
    """As a hostile client would make them up: no connection here comes of them."""
    reverse = await runtime.reverse(here, port=0)
    made_up = TicketsFrame(tickets=tuple(f"made-up-ticket-{n:04}" for n in range(100)))
    await reverse._on_tickets(made_up.tickets)
    await eventually(lambda: reverse.counts.open == 0)
    assert reverse.counts.broken + reverse.counts.failed == 100
    assert await told(("127.0.0.1", reverse.port), "echo") == b"bye"
