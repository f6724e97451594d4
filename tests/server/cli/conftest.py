"""The `tether` command as a real process, and sandboxes for it to look at."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tether_server import SyncEventStreamRuntime
from tether_server.record import SandboxRecord, list_records, load_record

TETHER = [sys.executable, "-m", "tether_server.cli"]
WAIT_S = 60.0

Tether = Callable[..., "subprocess.CompletedProcess[bytes]"]
StartTether = Callable[..., "subprocess.Popen[bytes]"]

LEAVE = """
import os, signal, sys
from tether_server import SyncEventStreamRuntime
name, how = sys.argv[1:]
runtime = SyncEventStreamRuntime(backend="local", name=name, keep=how == "kept", lease_s=600)
runtime.start()
if how == "orphaned":
    os.kill(os.getpid(), signal.SIGKILL)
runtime.close()
"""


@pytest.fixture
def tether(state_dir: object) -> Tether:
    """Runs it to its end: `tether("run", "--local", "--", "true", input=b"")`."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options = {"input": b"", "capture_output": True, "timeout": WAIT_S, **options}
        return subprocess.run([*TETHER, *arguments], **options)

    return run


@pytest.fixture
def start_tether(state_dir: object) -> Iterator[StartTether]:
    """Starts it; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*TETHER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def kept(state_dir: object) -> Iterator[SandboxRecord]:
    """A local sandbox whose server has left it, as it was asked to."""
    subprocess.run([sys.executable, "-c", LEAVE, "kept", "kept"], timeout=WAIT_S, check=True)
    yield load_record("kept")
    end_sandboxes()


@pytest.fixture
def orphan(state_dir: object) -> Iterator[SandboxRecord]:
    """A local sandbox whose server was killed."""
    subprocess.run([sys.executable, "-c", LEAVE, "orphan", "orphaned"], timeout=WAIT_S)
    yield load_record("orphan")
    end_sandboxes()


@pytest.fixture
def live() -> Iterator[SyncEventStreamRuntime]:
    """A local sandbox that this process controls."""
    with SyncEventStreamRuntime(backend="local", name="live") as runtime:
        yield runtime


def end_sandboxes() -> None:
    """Kill what the test left of its sandboxes."""
    for record in list_records():
        with SyncEventStreamRuntime.attach(record.name) as runtime:
            runtime.close(keep=False)


def is_gone(record: SandboxRecord) -> bool:
    """Whether a local sandbox's main process ends, within a time."""
    try:
        pidfd = os.pidfd_open(int(record.handle["pid"]))
    except ProcessLookupError:
        return True
    readable, _, _ = select.select([pidfd], [], [], WAIT_S)
    os.close(pidfd)
    return bool(readable)


def said(output: bytes) -> str:
    """What a command wrote, as text."""
    return output.decode()
