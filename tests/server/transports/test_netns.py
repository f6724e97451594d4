"""A socket of another network namespace, made by a thread that is gone at once."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tether_server.transports import NetnsTransport
from tether_server.transports.netns import in_network_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root enters another namespace")

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 5000))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"inside")
    connection.close()
"""


@pytest.fixture
def inside() -> Iterator[int]:
    """The pid of a server in a network namespace of its own, where only the loopback is."""
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" -c "$1"']
    with subprocess.Popen(
        [*command, os.path.realpath("/usr/bin/python3"), SERVER], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield process.pid
        process.kill()


async def test_its_loopback_is_reached_and_nothing_stays(inside: int) -> None:
    async def pid() -> int:
        return inside

    here = os.readlink("/proc/self/ns/net")
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    transport = NetnsTransport(pid, 5000)
    for connection in await asyncio.gather(*(transport.connect() for _ in range(20))):
        assert await asyncio.get_running_loop().sock_recv(connection, 10) == b"inside"
        connection.close()
    for task in os.listdir("/proc/self/task"):
        assert os.readlink(f"/proc/self/task/{task}/ns/net") == here
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_what_fails_inside_is_raised_here(inside: int) -> None:
    def fail() -> socket.socket:
        raise OSError("no socket today")

    with pytest.raises(OSError, match="no socket today"):
        await in_network_of(inside, fail)


async def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(FileNotFoundError):
        await in_network_of(process.pid, socket.socket)


NOT_ROOT = """
import asyncio, os, socket, sys
from tether_server.transports.netns import in_network_of
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    asyncio.run(in_network_of(os.getpid(), socket.socket))
except OSError as problem:
    print(problem)
"""


def test_it_takes_root() -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "-c", NOT_ROOT], capture_output=True, text=True, timeout=30
    )
    assert "it takes root on this machine" in done.stdout, done.stderr
