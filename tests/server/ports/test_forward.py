"""A port inside, here: what goes through it, what is refused, and how it ends."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from tether_server import (
    ClientStarted,
    CmdRunAction,
    EventStreamRuntime,
    InvalidAction,
    PortClosed,
    PortOpened,
    PortTaken,
    PortTrouble,
    PortUnusable,
    RuntimeClosed,
)

from .services import closed, connected, eventually, service, told

pytestmark = pytest.mark.asyncio(loop_scope="module")
MB = 1024 * 1024


async def test_a_free_port_of_loopback_leads_inside(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    assert str(forward) == forward.url == f"http://127.0.0.1:{forward.port}"
    assert forward.address == ("127.0.0.1", forward.port)
    assert forward.host == "127.0.0.1"
    assert await told(forward.address, "echo", b"hello ") == b"hello bye"


async def test_http_is_kept_alive(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)

    def talk() -> list[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", forward.port, timeout=30)
        answers = []
        for number in range(5):
            connection.request("GET", f"/{number}")
            answers.append(connection.getresponse().read()[:2])
        connection.close()
        return answers

    assert await asyncio.to_thread(talk) == [b"1 ", b"2 ", b"3 ", b"4 ", b"5 "]
    assert forward.counts.connections == 1


async def test_a_websocket_goes_through(runtime: EventStreamRuntime) -> None:
    from websockets.asyncio.client import connect

    program = textwrap.dedent(
        """
        import asyncio
        from websockets.asyncio.server import serve
        async def handle(peer):
            async for message in peer:
                await peer.send(message[::-1])
        async def main():
            async with serve(handle, "127.0.0.1", 0) as server:
                print(server.sockets[0].getsockname()[1], flush=True)
                await server.serve_forever()
        asyncio.run(main())
        """
    )
    async with await runtime.spawn([sys.executable, "-c", program]) as process:
        forward = await runtime.forward(int(await process.stdout.readline()))
        async with connect(f"ws://127.0.0.1:{forward.port}/") as peer:
            for message in ("abc", "x" * MB, b"\x00\x01"):
                await peer.send(message)
                assert await peer.recv() == message[::-1]


async def test_a_hundred_at_once(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    before = runtime.events.last_seq
    content = [os.urandom(20_000) for _ in range(100)]
    answers = await asyncio.gather(*(told(forward.address, "echo", data) for data in content))
    assert answers == [data + b"bye" for data in content]
    assert forward.counts.connections == 100
    assert runtime.events.last_seq == before, "a connection costs no event"
    await eventually(lambda: forward.counts.open == 0)


async def test_either_end_may_end_its_half_first(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    # Here first: `told` ends its half, and the answer comes after that.
    assert await told(forward.address, "sink", bytes(3 * MB)) == str(3 * MB).encode()
    # Inside first: the service has said all it has, and goes on reading.
    async with await runtime.spawn([sys.executable, "-c", _HALF], stdin=False) as process:
        half = await runtime.forward(int(await process.stdout.readline()))
        reader, writer = await connected(half.address)
        assert await reader.read() == b"all I have"
        writer.write(b"x" * MB)
        writer.write_eof()
        assert await process.stdout.readline() == f"{MB}\n".encode()
        await closed(writer)


_HALF = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
peer.sendall(b"all I have")
peer.shutdown(socket.SHUT_WR)
count = 0
while data := peer.recv(65536):
    count += len(data)
print(count, flush=True)
"""


async def test_a_gigabyte_in_flat_memory(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    gigabyte = 1024 * MB
    client = next(e.pid for e in runtime.events.since(0) if isinstance(e, ClientStarted))
    before = [(peak(pid), peak(pid))[1] for pid in (client, os.getpid())]

    def take() -> int:
        count, buffer = 0, bytearray(MB)
        with socket.create_connection((forward.host, forward.port)) as connection:
            connection.sendall(b"send %d\n" % gigabyte)
            while more := connection.recv_into(buffer):
                count += more
        return count

    assert await asyncio.to_thread(take) == gigabyte
    after = [peak(pid) for pid in (client, os.getpid())]
    assert all(late - early < 64 for late, early in zip(after, before, strict=True)), after


def peak(pid: int) -> float:
    """The most memory a process has had since its peak was forgotten, in MB; forgets it."""
    status = Path(f"/proc/{pid}/status").read_text()
    with suppress(OSError):  # where that may not be, the peak is that of all its life
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_who_does_not_read_stops_the_sender_and_nobody_else(
    runtime: EventStreamRuntime, port: int
) -> None:
    forward = await runtime.forward(port)
    # Back-pressure outwards: nobody reads here.
    _, idle = await connected(forward.address, f"send {1024 * MB}")
    # And inwards: nobody reads there.
    _, stuck = await connected(forward.address, "stuck")
    stuck.transport.set_write_buffer_limits(high=MB)
    for _ in range(64):
        stuck.write(bytes(MB))
        try:
            async with asyncio.timeout(1):
                await stuck.drain()
        except TimeoutError:
            break
    else:
        raise AssertionError("64 MB went to somebody who reads nothing")
    assert await told(forward.address, "echo", b"still ") == b"still bye"
    seen = await asyncio.wait_for(runtime.run(CmdRunAction(command="echo here")), 10)
    assert seen.content == "here\n"
    idle.transport.abort()
    stuck.transport.abort()


async def test_a_refused_connection_is_reset_counted_and_told_once(
    runtime: EventStreamRuntime,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    forward = await runtime.forward(nobody)
    before = runtime.events.last_seq
    for _ in range(3):
        reader, writer = await connected(forward.address)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        await closed(writer)
    assert forward.counts.failed == 3
    [event] = [e for e in runtime.events.since(before) if isinstance(e, PortTrouble)]
    assert (event.direction, event.inside, event.here) == ("forward", str(nobody), forward.here)
    assert event.reason.endswith("takes no connection: Connection refused")


async def test_a_reset_inside_is_one_here_and_the_other_way_round(
    runtime: EventStreamRuntime, port: int
) -> None:
    forward = await runtime.forward(port)
    reader, writer = await connected(forward.address, "reset")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 30)
    await closed(writer)
    await eventually(lambda: forward.counts.broken == 1)
    _, writer = await connected(forward.address, "echo")
    await asyncio.sleep(0)
    writer.transport.abort()
    await eventually(lambda: forward.counts.open == 0)


async def test_an_answer_to_a_request_that_was_not_read_whole_arrives(
    runtime: EventStreamRuntime, port: int
) -> None:
    """As when an HTTP server refuses a body: it answers, closes, and the rest is not read."""
    forward = await runtime.forward(port)
    reader, writer = await connected(forward.address, "first 5")
    writer.write(b"12345")
    assert await asyncio.wait_for(reader.readexactly(5), 30) == b"12345"
    await closed(writer)


async def test_a_unix_socket_inside_and_one_here(
    runtime: EventStreamRuntime, port: int, tmp_path: Path
) -> None:
    inside, here = str(tmp_path / "inside"), str(tmp_path / "here")
    async with service(runtime, inside):
        by_path = await runtime.forward(inside)
        assert await told(by_path.address, "echo", b"from a path ") == b"from a path bye"
        both = await runtime.forward(inside, path=here)
        assert str(both) == both.address == here
        assert os.stat(here).st_mode & 0o777 == 0o600
        assert await told(here, "echo", b"from both ") == b"from both bye"
        await both.close()
        assert not os.path.exists(here)
    to_path = await runtime.forward(port, path=here)
    assert await told(here, "echo", b"to a path ") == b"to a path bye"
    await to_path.close()


async def test_a_port_of_the_other_loopback(runtime: EventStreamRuntime) -> None:
    listening = await asyncio.start_server(_greet, "::1", 0)
    async with listening:
        forward = await runtime.forward(listening.sockets[0].getsockname()[1])
        reader, writer = await connected(forward.address)
        assert await reader.read() == b"by IPv6"
        await closed(writer)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"by IPv6")
    writer.close()
    await writer.wait_closed()


async def test_asking_again_gives_the_same_one(runtime: EventStreamRuntime, port: int) -> None:
    forward, again = await asyncio.gather(runtime.forward(port), runtime.forward(port))
    assert forward is again
    assert await runtime.forward(port, port=forward.port) is forward
    assert await runtime.forward(str(port)) is forward
    assert runtime.ports == (forward,)
    with pytest.raises(PortTaken, match=f"{port} is forwarded at {forward.here} already"):
        await runtime.forward(port, port=forward.port + 1)
    with pytest.raises(PortTaken, match="with other protection"):
        await runtime.forward(port, token=True)
    async with forward:
        pass
    assert forward.closed
    assert not runtime.ports
    other = await runtime.forward(port)
    assert other is not forward
    assert await told(other.address, "echo") == b"bye"


async def test_a_taken_address_says_who_has_it(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    with pytest.raises(PortTaken) as caught:
        await runtime.forward(port + 1, port=forward.port)
    owner = caught.value.data["owner"]
    assert owner == f"sandbox {runtime.name} forwards {port} there (process {os.getpid()})"
    command = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]"
    program = f"{command}, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        with pytest.raises(PortTaken, match=rf"process {other.pid} \(python"):
            await runtime.forward(port + 2, port=taken)
        other.communicate(b"\n")


async def test_addresses_that_cannot_be(runtime: EventStreamRuntime, port: int) -> None:
    with pytest.raises(PortUnusable, match="is no address"):
        await runtime.forward(port, bind="example.com")
    with pytest.raises(PortUnusable, match="cannot be listened on"):
        await runtime.forward(port, bind="192.0.2.1", token=True)
    with pytest.raises(PortUnusable, match="there is no port 70000"):
        await runtime.forward(port, port=70_000)
    for wrong in (0, -1, 65_536, True, "relative", "/nul\0"):
        with pytest.raises(InvalidAction, match="is no port"):
            await runtime.forward(wrong)
    with pytest.raises(InvalidAction, match="a UNIX socket has no port"):
        await runtime.forward(port, path="/tmp/x", port=5)
    with pytest.raises(InvalidAction, match="'here' is no absolute path"):
        await runtime.forward(port, path="here")
    with pytest.raises(
        PortUnusable,
        match=r"x cannot be listened on: No such file or directory\. Choose a path in a folder",
    ):
        await runtime.forward(port, path="/nosuchfolder/x")
    with pytest.raises(PortUnusable, match=r"too long\. Choose a path .* 80 bytes at most"):
        await runtime.forward(port, path=f"/tmp/{'x' * 125}")
    assert runtime.ports == ()


async def test_a_socket_in_the_way_is_replaced_when_it_is_dead(
    runtime: EventStreamRuntime, port: int, tmp_path: Path
) -> None:
    path = str(tmp_path / "here")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    await (await runtime.forward(port, path=path)).close()
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(path)
        alive.listen()
        with pytest.raises(PortTaken):
            await runtime.forward(port, path=path)
    os.unlink(path)
    Path(path).write_text("precious")
    with pytest.raises(PortTaken, match=r"no socket: it is never replaced\. Choose another path"):
        await runtime.forward(port, path=path)
    assert Path(path).read_text() == "precious"


async def test_it_is_closed_with_the_runtime_and_is_in_the_history() -> None:
    before = len(os.listdir("/proc/self/fd"))
    runtime = EventStreamRuntime(backend="local", name="closing")
    async with runtime, service(runtime) as port:
        forward = await runtime.forward(port)
        reader, writer = await connected(forward.address, "echo")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await runtime.close()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        await closed(writer)
        with pytest.raises(ConnectionRefusedError):
            await connected(forward.address)
        with pytest.raises(RuntimeClosed):
            await runtime.forward(port)
    opened, gone = [e for e in runtime.events.since(0) if isinstance(e, PortOpened | PortClosed)]
    assert isinstance(opened, PortOpened)
    assert isinstance(gone, PortClosed)
    assert (gone.inside, gone.here, gone.connections) == (str(port), forward.here, 1)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_a_cut_lease_costs_nothing(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port)
    reader, writer = await connected(forward.address, "echo")
    writer.write(b"before ")
    assert await reader.readexactly(7) == b"before "
    runtime.cut_connection()
    writer.write(b"after ")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 30) == b"after bye"
    await closed(writer)
    assert await told(forward.address, "echo", b"anew ") == b"anew bye"


async def test_the_address_is_bound_again_at_once_after_a_restart(
    runtime: EventStreamRuntime, port: int
) -> None:
    """The server process is killed with connections standing; the next one has the same address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        here = free.getsockname()[1]
    program = textwrap.dedent(
        f"""
        import asyncio, os, signal, socket, threading
        from tether_server.operator import OperatorRuntime
        async def main():
            async with OperatorRuntime.beside({runtime.name!r}) as runtime:
                await runtime.forward({port}, port={here})
                def connect():
                    peer = socket.create_connection(("127.0.0.1", {here}))
                    peer.sendall(b"echo\\nhi")
                    assert peer.recv(2) == b"hi"
                await asyncio.to_thread(connect)
                os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
        """
    )
    for _ in range(2):
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], timeout=60, check=False
        )
        assert done.returncode == -9
    forward = await runtime.forward(port, port=here)
    assert await told(forward.address, "echo") == b"bye"
