"""A forwarded port beside a published one and `ssh -L`: new connections, round trips, bytes.

All of them lead to the same small service. The floor is the service itself, on this machine.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

from tether_server import EventStreamRuntime
from tether_server.record import load_record

from .peers.openssh import ssh_command
from .peers.sshd import running_sshd
from .plan import Plan
from .report import Aim, Report, Row
from .side import RATIO, Place, side_rows, tether
from .subjects import runtimes
from .turns import Step, take_turns

FLOOR = "the service itself"
SSH, PUBLISHED = "ssh -L", "a published port"
LEVEL = Aim(0.95, at="least")
INSIDE = "/opt/tether/bin/python3"
INSIDE_PORT = 8000
SERVICE = """
import socket, sys, threading
def serve(peer):
    with peer, peer.makefile("rb") as lines:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        zeros, buffer = bytes(1 << 18), bytearray(1 << 18)
        for line in lines:
            kind, count = line.split()
            left = int(count)
            if kind == b"send":
                while left > 0:
                    left -= peer.send(zeros[:left])
            while kind == b"take" and left > 0:
                left -= len(lines.read1(min(left, 1 << 18)))
            if kind != b"send":
                peer.sendall(b"k")
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=512)
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()
"""
Work = Callable[[int], None]
Places = dict[str, Place]


async def measure(plan: Plan) -> Report:
    """Rows for each way: a new connection, a round trip on one that stands, bytes both ways."""
    size, trips = plan.count(200_000_000, 1_000_000), plan.count(100, 5)
    jobs: dict[str, tuple[Work, int]] = {
        "a new connection": (_connect, plan.count(30, 3)),
        f"{trips} round trips": (partial(_round_trips, trips), plan.count(30, 2)),
        f"{size // 1_000_000} MB out": (partial(_receive, size), plan.count(5, 1)),
        f"{size // 1_000_000} MB in": (partial(_send, size), plan.count(5, 1)),
    }
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        ways, places = await _ways(plan, stack)
        for label, (work, rounds) in jobs.items():
            steps: dict[str, Step] = {
                name: partial(asyncio.to_thread, work, port) for name, port in ways.items()
            }
            samples = await take_turns(steps, rounds=rounds)
            aims = {SSH: LEVEL} if "MB" in label else None
            rows += side_rows(label, samples, places, floor=FLOOR, aims=aims)
    return Report("ports", "a port inside", tuple(rows), floor=RATIO, bars=False)


async def _ways(plan: Plan, stack: AsyncExitStack) -> tuple[Mapping[str, int], Places]:
    """The port of each way here, and where the peers among them lead."""
    own = stack.enter_context(_service())
    ways, places = {FLOOR: own}, Places()
    started = await stack.enter_async_context(runtimes(plan))
    for backend, runtime in started.items():
        inside = own
        if backend == "docker":
            inside = await stack.enter_async_context(_service_inside(runtime))
            ways[PUBLISHED] = stack.enter_context(_published(runtime))
            places[PUBLISHED] = "docker"
        ways[tether(backend)] = (await runtime.forward(inside)).port
    if "ssh" in plan.peers:
        ways[SSH], places[SSH] = stack.enter_context(_ssh(own)), "local"
    return ways, places


@contextmanager
def _service() -> Iterator[int]:
    command = [sys.executable, "-c", SERVICE, "127.0.0.1", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@asynccontextmanager
async def _service_inside(runtime: EventStreamRuntime) -> AsyncIterator[int]:
    async with await runtime.spawn([INSIDE, "-c", SERVICE, "127.0.0.1", "0"]) as process:
        yield int(await process.stdout.readline())


@contextmanager
def _published(runtime: EventStreamRuntime) -> Iterator[int]:
    """The service in a container of the same image, with its port published on loopback."""
    container = load_record(runtime.name).handle["container"]
    (known,) = json.loads(_output("docker", "inspect", container))
    command = ("-c", SERVICE, "0.0.0.0", str(INSIDE_PORT))
    where = ("-p", f"127.0.0.1::{INSIDE_PORT}", "--entrypoint", INSIDE, known["Config"]["Image"])
    name = f"{runtime.name}-published"
    run = ["docker", "run", "--rm", "--name", name, *where, *command]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            shown = _output("docker", "port", name, str(INSIDE_PORT))
            yield int(shown.rpartition(":")[2])
        finally:
            _output("docker", "rm", "--force", "--volumes", name)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def _ssh(inside: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with running_sshd() as sshd:
        options = ("-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{inside}")
        command = [*ssh_command(sshd, *options), "echo up; exec cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield port
            process.kill()


def _open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _connect(port: int) -> None:
    _round_trips(1, port)


def _round_trips(count: int, port: int) -> None:
    with _open(port) as connection:
        for _ in range(count):
            connection.sendall(b"trip 0\n")
            _expect(connection, 1)


def _receive(count: int, port: int) -> None:
    with _open(port) as connection:
        connection.sendall(b"send %d\n" % count)
        _expect(connection, count)


def _send(count: int, port: int) -> None:
    with _open(port) as connection:
        connection.sendall(b"take %d\n" % count + bytes(count))
        _expect(connection, 1)


def _expect(connection: socket.socket, count: int) -> None:
    buffer = bytearray(1 << 20)
    while count > 0:
        came = connection.recv_into(buffer)
        if not came:
            raise RuntimeError("the connection ended early")
        count -= came
