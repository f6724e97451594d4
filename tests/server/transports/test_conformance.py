"""What holds on every transport, by one list of checks for all of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import SecretExpired, Unauthorized
from tether_server import (
    ActionSubmitted,
    CmdOutputDelta,
    CmdRunAction,
    Connected,
    EventStreamRuntime,
    ExecAction,
)
from tether_server.link import Link
from tether_server.record import load_record
from tether_server.transports import NoAnswer, Transport, probe

from .conftest import TRANSPORTS, StartBy

pytestmark = pytest.mark.engine

SIZE = 50 * 1024 * 1024


def transport_of(runtime: EventStreamRuntime) -> Transport:
    assert runtime._link is not None
    return runtime._link.transport


async def it_says_what_it_is(runtime: EventStreamRuntime, folder: Path) -> None:
    name = transport_of(runtime).name
    connected = next(e for e in runtime.events.since(0) if isinstance(e, Connected))
    assert runtime.connection.startswith(f"{name}: ")
    assert "asked for" in runtime.connection
    assert (connected.transport, connected.reason) == (name, runtime._choice.why)  # type: ignore[union-attr]


async def a_thousand_requests(runtime: EventStreamRuntime, folder: Path) -> None:
    for number in range(1000):
        seen = await runtime.run(CmdRunAction(command=f"echo {number}"))
        assert seen.content == f"{number}\n"


async def fifty_megabytes_both_ways(runtime: EventStreamRuntime, folder: Path) -> None:
    content = os.urandom(1024 * 1024) * (SIZE // (1024 * 1024))
    (folder / "there").write_bytes(content)
    await runtime.upload(folder / "there", "/tmp/body")
    summed = await runtime.exec(["sha256sum", "/tmp/body"])
    assert summed.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()
    await runtime.download("/tmp/body", folder / "back")
    assert (folder / "back").read_bytes() == content


async def transfers_side_by_side(runtime: EventStreamRuntime, folder: Path) -> None:
    (folder / "small").write_bytes(b"small")
    await asyncio.gather(*(runtime.upload(folder / "small", f"/tmp/{n}") for n in range(20)))
    seen = await runtime.run(CmdRunAction(command="cat /tmp/?  /tmp/1?"))
    assert seen.content == "small" * 20


async def half_a_close(runtime: EventStreamRuntime, folder: Path) -> None:
    """What is said after this side has ended its own still arrives, and then the end does."""
    connection = await transport_of(runtime).connect()
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: sandbox\r\n\r\n")
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"websocket" in answer.partition(b"\r\n\r\n")[2].lower()


async def a_port_forward_and_one_reversed(runtime: EventStreamRuntime, folder: Path) -> None:
    """Bytes, an end of either half first, and many at a time, both ways."""
    program = [PYTHON, "-c", SERVICE, str(SIZE // 10)]
    async with await runtime.spawn(program) as process:
        forward = await runtime.forward(int(await process.stdout.readline()))
        reverse = await runtime.reverse(forward.port, port=0)
        own = await runtime.exec([PYTHON, "-c", ASK.format(port=reverse.port)])
        assert own.stdout == f"{SIZE // 10} 6".encode(), own.stderr

        async def talk(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
            writer.write(b"x" * number)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 60)
            assert len(answer) == SIZE // 10 + len(str(number))
            assert answer.endswith(str(number).encode())
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(talk(number) for number in range(1, 11)))
        await reverse.close()
        await forward.close()


PYTHON = "/opt/tether/bin/python3"
SERVICE = """
import asyncio, sys
async def serve(reader, writer):
    count = len(await reader.read())
    writer.write(bytes(int(sys.argv[1])) + b"%d" % count)
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
ASK = """
import socket
peer = socket.create_connection(("127.0.0.1", {port}))
peer.sendall(b"inside")
peer.shutdown(socket.SHUT_WR)
data = peer.makefile("rb").read()
print(len(data) - 1, data[-1:].decode(), end="")
"""


async def a_cut_amid_output(runtime: EventStreamRuntime, folder: Path) -> None:
    command = "for i in $(seq 1 2000); do echo $i; [ $((i % 100)) = 0 ] && sleep 0.02; done"
    running = asyncio.create_task(runtime.run(CmdRunAction(command=command), id="cut"))
    since = runtime.events.last_seq
    for _ in range(3):
        async for event in runtime.events.subscribe(since):
            since = event.seq
            if isinstance(event, CmdOutputDelta) and event.action_id == "cut":
                break
        runtime.cut_connection()
    seen = await asyncio.wait_for(running, 60)
    assert seen.content == "".join(f"{n}\n" for n in range(1, 2001))  # type: ignore[attr-defined]
    events = list(runtime.events.since(0))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    deltas = [e for e in events if isinstance(e, CmdOutputDelta) and e.action_id == "cut"]
    assert "".join(delta.content for delta in deltas) == seen.content  # type: ignore[attr-defined]
    assert sum(isinstance(e, ActionSubmitted) and e.action_id == "cut" for e in events) == 1


async def a_wrong_secret(runtime: EventStreamRuntime, folder: Path) -> None:
    transport = transport_of(runtime)
    with pytest.raises(NoAnswer) as caught:
        await probe(transport, auth.new_secret())
    assert caught.value.kind == "stranger"
    link = Link(_Borrowed(transport), auth.new_secret, _Nobody(), _alive)  # type: ignore[arg-type]
    with pytest.raises(Unauthorized):
        await link.start()
    await link.close()


async def no_secret_at_all(runtime: EventStreamRuntime, folder: Path) -> None:
    """Whoever shows none can submit nothing, and take nothing of a transfer."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    action = ExecAction(argv=("touch", "/tmp/never")).model_dump_json()
    for path, message in (
        ("events", f'{{"type":"submit","id":"x","action":{action}}}'),
        ("bulk", '{"type":"open","ticket":"none"}'),
    ):
        pipe = await transport_of(runtime).connect()
        async with connect(f"ws://sandbox/{path}", sock=pipe, compression=None) as peer:
            await peer.send(message)
            assert '"type":"error"' in (said := str(await peer.recv())) or '"fail"' in said
            with pytest.raises(ConnectionClosed):
                await peer.recv()
    seen = await runtime.run(CmdRunAction(command="ls /tmp/never"))
    assert seen.exit_code != 0


async def a_changed_secret(runtime: EventStreamRuntime, folder: Path) -> None:
    """Nothing is cut by it, and whatever is connected later goes by the new one."""
    transport, former = transport_of(runtime), load_record(runtime.name).secret
    (folder / "changed").write_bytes(b"changed")
    for _ in range(2):
        await runtime.rotate_secret()
        with pytest.raises(NoAnswer) as caught:
            await probe(transport, former)
        assert caught.value.kind == "stranger"
        await asyncio.gather(*(runtime.upload(folder / "changed", f"/tmp/c{n}") for n in range(8)))
        runtime.cut_connection()
        seen = await asyncio.wait_for(runtime.run(CmdRunAction(command="cat /tmp/c?")), 30)
        assert seen.content == "changed" * 8


class _Borrowed(Transport):
    """What a stranger takes goes to his own end: its owner's secret stays."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def connect(self) -> socket.socket:
        return await self._transport.connect()

    def describe(self) -> str:
        return self._transport.describe()


class _Nobody:
    def progress(self) -> dict[str, int]:
        return {}

    def newest(self) -> None:
        return None


async def _alive() -> None:
    return None


CHECKS: list[Callable[[EventStreamRuntime, Path], Awaitable[None]]] = [
    it_says_what_it_is,
    a_thousand_requests,
    fifty_megabytes_both_ways,
    transfers_side_by_side,
    half_a_close,
    a_port_forward_and_one_reversed,
    a_cut_amid_output,
    a_wrong_secret,
    no_secret_at_all,
    a_changed_secret,
]


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_it_holds(name: str, start_by: StartBy, tmp_path: Path) -> None:
    made = start_by(name)
    before = set(os.listdir("/proc/self/fd")), threads(), children()
    async with made as runtime:
        for check in CHECKS:
            try:
                await check(runtime, tmp_path)
            except BaseException as problem:
                problem.add_note(f"in {check.__name__} over {name}")
                raise
    assert len(set(os.listdir("/proc/self/fd")) - before[0]) <= 2  # the engine's client
    assert threads() <= before[1]
    assert children() <= before[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_secret_whose_time_is_over(name: str, start_by: StartBy) -> None:
    """What stands goes on; nobody else comes in by it, and who has it is told why."""
    async with start_by(name, secret_lifetime_s=15.0) as runtime:
        assert runtime._renewal is not None
        runtime._renewal.cancel()  # as if this server had been away
        await asyncio.sleep(15.1)
        assert (await runtime.run(CmdRunAction(command="echo on"))).content == "on\n"
        secret = load_record(runtime.name).secret
        link = Link(_Borrowed(transport_of(runtime)), lambda: secret, _Nobody(), _alive)  # type: ignore[arg-type]
        with pytest.raises(SecretExpired, match="expired"):
            await link.start()
        await link.close()


@pytest.mark.parametrize("name", ["netns", "exec", "dial"])
async def test_nothing_of_the_image_is_needed(busybox: str, name: str) -> None:
    """Neither programs nor libraries, nor, for two of them, a network."""
    network = None if name == "dial" else "none"
    async with EventStreamRuntime(
        busybox, transport=name, network=network, inject="mount", user="4321"
    ) as runtime:
        seen = await runtime.run(CmdRunAction(command="id -u; ls /sys/class/net"))
        assert seen.content.split() == ["4321", *(["eth0"] if network is None else []), "lo"]
        await half_a_close(runtime, Path())


def threads() -> set[threading.Thread]:
    """Those that are not of a pool, which stay for the next call."""
    return {t for t in threading.enumerate() if not t.name.startswith("asyncio_")}


def children() -> set[str]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(path.read_text().split())
