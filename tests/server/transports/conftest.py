"""Runtimes over each transport."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tether_server import Dial, EventStreamRuntime, Ssh, Tcp
from tether_server.backends.engine_address import engine_address
from tether_server.record import list_records

sys.path.append(str(Path(__file__).parents[3]))  # `benchmarks` is no installed package

from benchmarks.peers.sshd import Sshd, running_sshd

TRANSPORTS = ["unix", "netns", "tcp", "exec", "dial", "ssh", "tcp by TLS", "dial by TLS"]
StartBy = Callable[..., EventStreamRuntime]


@pytest.fixture(autouse=True)
def nothing_left(state_dir: object) -> Iterator[None]:
    """A test that fails leaves its kept sandboxes behind."""
    yield
    left = [x.handle["container"] for x in list_records() if "container" in x.handle]
    if left:
        subprocess.run(["docker", "rm", "--force", "--volumes", *left], capture_output=True)


@pytest.fixture
def start_by(debian: str, request: pytest.FixtureRequest) -> StartBy:
    """Makes a runtime over a transport; enter what it returns."""

    def make(name: str, **options: Any) -> EventStreamRuntime:
        by_tls = {"tcp by TLS": Tcp(tls=True), "dial by TLS": Dial(tls=True)}
        transport = by_tls.get(name, name)
        if name == "ssh":
            transport = request.getfixturevalue("ssh_settings")
        return EventStreamRuntime(debian, transport=transport, **options)

    return make


@pytest.fixture
def bridge(engine: str) -> str:
    """This machine's address in the engine's default network."""
    client = docker.from_env(version="auto")
    try:
        return str(engine_address(client, "bridge"))
    finally:
        client.close()


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    """An SSH server on loopback."""
    with running_sshd() as server:
        yield server


@pytest.fixture
def ssh_settings(sshd: Sshd) -> Ssh:
    """How to get through it."""
    return settings_for(sshd)


def settings_for(sshd: Sshd) -> Ssh:
    """With its key known."""
    host = f"{sshd.user}@{sshd.host}:{sshd.port}"
    return Ssh(host=host, known_hosts=str(sshd.known_hosts), key=str(sshd.key))
