"""What a sandbox comes through: stopped, killed, restarted, paused. All of it is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import docker
import pytest
from docker.models.containers import Container

from tether_server import (
    ActionCancelled,
    ActionLost,
    CmdOutputDelta,
    CmdRunAction,
    Connected,
    ConnectionLost,
    ErrorObservation,
    Event,
    EventStreamRuntime,
    SandboxGone,
    SandboxInterrupted,
    SandboxStopped,
    SessionEnded,
    link,
)
from tether_server.backends import container as container_backend
from tether_server.record import load_record, sandbox_folder

from .conftest import MakeRuntime

E = TypeVar("E", bound=Event)
Find = Callable[[EventStreamRuntime], Container]

COUNT = "for i in $(seq 1 1000); do echo line $i; sleep 0.02; done"


@pytest.fixture
async def find() -> AsyncIterator[Find]:
    """The container of a runtime; a kept one goes after the test."""
    client = docker.from_env(version="auto")
    found: list[Container] = []

    def find(runtime: EventStreamRuntime) -> Container:
        container = client.containers.get(load_record(runtime.name).handle["container"])
        found.append(container)
        return container

    yield find
    for container in found:
        subprocess.run(["docker", "rm", "-f", "-v", str(container.id)], capture_output=True)
    client.close()


def told(runtime: EventStreamRuntime, kind: type[E]) -> list[E]:
    return [event for event in runtime.events.since(0) if isinstance(event, kind)]


async def comes(runtime: EventStreamRuntime, kind: type[E]) -> E:
    """The first of a kind, also one that is still to come."""
    async with asyncio.timeout(30):
        async for found in runtime.events.subscribe():
            if isinstance(found, kind):
                return found
    raise AssertionError("the runtime was closed before that")


def begin(runtime: EventStreamRuntime, command: str) -> asyncio.Task[object]:
    return asyncio.create_task(runtime.run(CmdRunAction(command=command)))


async def echo(runtime: EventStreamRuntime) -> str:
    again = runtime.run(CmdRunAction(command="echo again"))
    return (await asyncio.wait_for(again, 30)).content


# --- stopped and killed, and started again


@pytest.mark.engine
@pytest.mark.parametrize(
    ("how", "cause", "code"), [("stop", "stopped", 0), ("kill", "killed", 137)]
)
async def test_one_that_is_started_much_later_is_gone_on_with(
    debian: str, find: Find, monkeypatch: pytest.MonkeyPatch, how: str, cause: str, code: int
) -> None:
    """Who waits is told; nobody is kept waiting for a start that may never come."""
    monkeypatch.setattr(container_backend, "RESTART_S", 0.5)
    async with EventStreamRuntime(debian, keep=True) as runtime:
        container = find(runtime)
        running = begin(runtime, COUNT)
        await comes(runtime, CmdOutputDelta)
        await asyncio.to_thread(getattr(container, how))
        with pytest.raises((SandboxGone, ActionCancelled)):
            await running
        interrupted = await comes(runtime, SandboxInterrupted)
        assert (interrupted.cause, interrupted.exit_code) == (cause, code)
        with pytest.raises(SandboxGone, match="does not run") as down:
            await echo(runtime)
        assert (down.value.data["cause"], down.value.data["exit_code"]) == (cause, code)
        assert "Start its container again" in down.value.hint
        sockets = os.listdir(sandbox_folder(runtime.name) / "socket")
        assert sockets == ([] if how == "stop" else ["client.sock"])  # it removes its own
        await asyncio.to_thread(container.start)
        assert await echo(runtime) == "again\n"
        assert len(told(runtime, SandboxInterrupted)) == 1
        assert not told(runtime, SandboxStopped)
        ends = [e.code for e in told(runtime, ErrorObservation)]
        assert (
            ends
            == {  # of the first command, told by its sandbox, and of the refused one
                "stop": ["action_cancelled", "sandbox_gone"],
                "kill": ["sandbox_gone", "action_lost"],
            }[how]
        )


@pytest.mark.engine
async def test_a_restart_tells_what_was_lost(debian: str, find: Find) -> None:
    async with EventStreamRuntime(debian, keep=True) as runtime:
        container = find(runtime)
        running = begin(runtime, COUNT)
        await comes(runtime, CmdOutputDelta)
        sockets = sandbox_folder(runtime.name) / "socket"
        await asyncio.to_thread(container.kill)
        stale = (sockets / "client.sock").stat().st_ctime_ns
        await asyncio.to_thread(container.start)
        with pytest.raises(ActionLost) as lost:
            await running
        assert "line 1\n" in lost.value.data["partial"]
        assert await echo(runtime) == "again\n"
        assert os.listdir(sockets) == ["client.sock"]  # the killed one's is replaced
        assert (sockets / "client.sock").stat().st_ctime_ns > stale
        [interrupted] = told(runtime, SandboxInterrupted)
        assert (interrupted.cause, interrupted.exit_code) == ("killed", 137)
        assert told(runtime, Connected)[-1].outage_s > 0


@pytest.mark.engine
async def test_one_that_is_removed_while_it_is_down_is_gone(
    debian: str, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_backend, "RESTART_S", 0.5)
    async with EventStreamRuntime(debian, keep=True) as runtime:
        container = find(runtime)
        await asyncio.to_thread(container.kill)
        await comes(runtime, SandboxInterrupted)
        await asyncio.to_thread(container.remove, v=True)
        with pytest.raises(SandboxGone, match="is gone"):
            await echo(runtime)
        assert (await comes(runtime, SandboxStopped)).exit_code == 137


@pytest.mark.engine
async def test_a_stop_that_has_to_kill_is_a_stop(
    debian: str, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One first process does not heed TERM: it is stopped itself."""
    monkeypatch.setattr(container_backend, "RESTART_S", 0.5)
    async with EventStreamRuntime(debian, keep=True) as runtime:
        container = find(runtime)
        pid = container.attrs["State"]["Pid"]
        os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(container.stop, timeout=1)
        interrupted = await comes(runtime, SandboxInterrupted)
        assert (interrupted.cause, interrupted.exit_code) == ("stopped", 137)


async def test_a_stop_waits_until_the_server_has_everything(make_runtime: MakeRuntime) -> None:
    """It is busy for more than a second while its sandbox, which is not kept, is stopped."""
    async with make_runtime() as runtime:
        running = begin(runtime, "seq 1 2000000; sleep 100")
        await comes(runtime, CmdOutputDelta)
        time.sleep(0.5)  # this is the server: it takes nothing meanwhile
        stopping = stop(runtime)
        time.sleep(1.5)
        with pytest.raises(ActionCancelled):
            await running
        stopped = await comes(runtime, SandboxStopped)
        await asyncio.to_thread(stopping.wait)
        assert (stopped.cause, stopped.exit_code) == ("stopped", 0)
        assert [event.cause for event in told(runtime, SessionEnded)] == ["closed"]
        at = 0
        for event in told(runtime, CmdOutputDelta):
            assert event.offset == at
            at += event.length
        assert at > 1_000_000


def stop(runtime: EventStreamRuntime) -> subprocess.Popen[bytes]:
    """Stops its sandbox as somebody else would, and does not wait for that."""
    handle = load_record(runtime.name).handle
    command = ["docker", "stop", handle["container"]] if "container" in handle else None
    return subprocess.Popen(command or ["kill", handle["pid"]], stdout=subprocess.DEVNULL)


# --- paused


@pytest.mark.engine
@pytest.mark.parametrize("transport", ["unix", "exec"])
async def test_a_pause_loses_nothing(
    debian: str, find: Find, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Long enough for the connection to be given up."""
    monkeypatch.setattr(link, "PING_EVERY_S", 0.4)
    monkeypatch.setattr(link, "ATTACH_TIMEOUT_S", 1.0)
    async with EventStreamRuntime(debian, transport=transport) as runtime:
        container = find(runtime)
        running = asyncio.create_task(
            runtime.run(CmdRunAction(command="for i in $(seq 1 50); do echo $i; sleep 0.02; done"))
        )
        await comes(runtime, CmdOutputDelta)
        await asyncio.to_thread(container.pause)
        assert "no sign of life" in (await comes(runtime, ConnectionLost)).reason
        await asyncio.to_thread(container.unpause)
        seen = await asyncio.wait_for(running, 30)
        assert seen.content == "".join(f"{i}\n" for i in range(1, 51))
        assert not told(runtime, SandboxInterrupted)
