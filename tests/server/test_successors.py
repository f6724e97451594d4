"""A server dies or is replaced, a sandbox is set back or doubled: the history stays one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tether_server import (
    ActionAccepted,
    ActionLost,
    ActionSubmitted,
    ClientStarted,
    CmdRunAction,
    ConnectionLost,
    ControllerBusy,
    Event,
    EventStreamRuntime,
    Fenced,
    HistoryGap,
    Observation,
)
from tether_server.record import sandbox_folder

from ..behaviours.footprint import client_pid
from .conftest import MakeRuntime

DIES = """
import asyncio, os, signal, sys
from tether_server import CmdRunAction, EventStreamRuntime, link

name, image, log, when = sys.argv[1:]
send_text = link.Link.send_text

def dying(self, text):
    if b'"type":"submit"' in text and b"ran" in text:
        if when == "after":
            send_text(self, text)
            asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGKILL)
            return
        os.kill(os.getpid(), signal.SIGKILL)
    send_text(self, text)

async def main():
    backend = "docker" if image else "local"
    async with EventStreamRuntime(image or None, backend=backend, name=name, keep=True) as r:
        link.Link.send_text = dying
        command = f"echo ran >> {log}; echo begun; sleep 1; echo done"
        await r.run(CmdRunAction(command=command), id="x")

asyncio.run(main())
"""


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.engine)])
def image(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("debian") if request.param == "docker" else ""


def assert_one(events: list[Event]) -> None:
    """One history: each number once, each action asked, accepted and ended at most once."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for kind in (ActionSubmitted, ActionAccepted, Observation):
        counted = Counter(e.action_id for e in events if isinstance(e, kind))
        assert set(counted.values()) <= {1}, kind


@asynccontextmanager
async def attached(name: str) -> AsyncIterator[EventStreamRuntime]:
    """By a server that ends the sandbox, too."""
    async with EventStreamRuntime.attach(name) as runtime:
        try:
            yield runtime
        finally:
            await runtime.close(keep=False)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_server_killed_between_storing_and_its_answer(
    image: str, tmp_path: Path, when: str
) -> None:
    """Stored and not sent: it is sent by the next. Sent: it is not sent again."""
    log = f"/tmp/{tmp_path.name}-{os.getpid()}-{when}"
    name = f"half-way-{when}-{os.getpid()}"
    command = [sys.executable, "-c", DIES, name, image, log, when]
    died = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    _, problem = await died.communicate()
    assert died.returncode == -signal.SIGKILL, problem.decode()
    async with attached(name) as runtime:
        async with asyncio.timeout(30):
            seen = await runtime.run(CmdRunAction(command="echo never"), id="x")
        assert (seen.content, seen.exit_code) == ("begun\ndone\n", 0)
        ran = await runtime.exec(f"cat {log}; rm {log}")
        assert ran.stdout == b"ran\n"
        assert_one(list(runtime.events.since(0)))


async def test_one_that_comes_while_the_client_is_started_anew(image: str) -> None:
    """Nobody listens for a moment: that is waited for."""
    backend = "docker" if image else "local"
    async with EventStreamRuntime(image or None, backend=backend, keep=True) as former:
        pid = await client_pid(former, backend)
    os.kill(pid, signal.SIGKILL)
    async with attached(former.name) as runtime:
        assert (await runtime.run(CmdRunAction(command="echo on"))).content == "on\n"


async def test_two_servers_at_once(make_runtime: MakeRuntime) -> None:
    """Of those that come for a kept sandbox one gets it, and the others are told."""
    async with make_runtime(keep=True) as former:
        await former.run(CmdRunAction(command="X=kept"), id="before")
    servers = [EventStreamRuntime.attach(former.name) for _ in range(4)]
    outcomes = await asyncio.gather(*(s.start() for s in servers), return_exceptions=True)
    [controller] = [s for s, outcome in zip(servers, outcomes, strict=True) if outcome is None]
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, ControllerBusy) for outcome in refused), outcomes
    try:
        seen = await controller.run(CmdRunAction(command="echo $X"))
        assert seen.content == "kept\n"
        events = list(controller.events.since(0))
        assert_one(events)
        assert [e for e in events if e.action_id == "before"]
    finally:
        await controller.close(keep=False)


async def test_who_was_taken_over_can_still_read(state_dir: Path) -> None:
    async with EventStreamRuntime(None, backend="local") as first:
        waiting = asyncio.create_task(first.run(CmdRunAction(command="sleep 1; echo slow"), id="w"))
        async for event in first.events.subscribe(action_id="w"):
            if isinstance(event, ActionAccepted):
                break
        async with EventStreamRuntime.attach(first.name, takeover=True) as second:
            with pytest.raises(Fenced, match="took"):
                await waiting
            with pytest.raises(Fenced):
                await first.run(CmdRunAction(command="echo mine"))
            with pytest.raises(Fenced):
                await first.exec(["true"])
            seen = await second.run(CmdRunAction(command="never run"), id="w")
            assert seen.content == "slow\n"
            ours = list(second.events.since(0))
            assert_one(ours)
            assert list(first.events.since(0))[: len(ours)] == ours, "it reads what the other wrote"


# --- set back and doubled


def run_folder(runtime: EventStreamRuntime) -> Path:
    return sandbox_folder(runtime.name) / "run"


async def cut(runtime: EventStreamRuntime) -> None:
    """Returns when the server knows: what is asked from then on was not sent."""
    since = runtime.events.last_seq
    runtime.cut_connection()
    async for event in runtime.events.subscribe(since):
        if isinstance(event, ConnectionLost):
            return


async def kill_client(runtime: EventStreamRuntime, between: str = "true") -> None:
    """The client dies; the supervisor's next one finds what `between` has made of its folder."""
    started = [e for e in runtime.events.since(0) if isinstance(e, ClientStarted)]
    command = f"echo dying; {between}; kill -9 {started[-1].pid}; sleep 30"
    with pytest.raises(ActionLost):
        await runtime.run(CmdRunAction(command=command))


async def test_a_folder_that_was_set_back(state_dir: Path, tmp_path: Path) -> None:
    """The client's folder is that of an earlier moment: nothing comes twice, and a gap is told."""
    async with EventStreamRuntime(None, backend="local") as runtime:
        run = run_folder(runtime)
        await runtime.run(CmdRunAction(command=f"echo a >> {tmp_path}/log"), id="a")
        asked = asyncio.create_task(
            runtime.run(CmdRunAction(command="sleep 0.5; echo slow", session="s"), id="slow")
        )
        async for event in runtime.events.subscribe(action_id="slow"):
            if isinstance(event, ActionAccepted):
                break
        shutil.copytree(run / "state" / "journal", tmp_path / "earlier")
        assert (await asked).content == "slow\n"
        await runtime.run(CmdRunAction(command=f"echo b >> {tmp_path}/log"), id="b")
        await kill_client(
            runtime, f"rm {run}/state/journal/*; cp {tmp_path}/earlier/* {run}/state/journal/"
        )
        await runtime.run(CmdRunAction(command=f"echo c >> {tmp_path}/log"), id="c")
        for id in ("a", "b", "c"):
            await runtime.run(CmdRunAction(command=f"echo twice >> {tmp_path}/log"), id=id)
        assert (tmp_path / "log").read_text() == "a\nb\nc\n"
        events = list(runtime.events.since(0))
        assert_one(events)
        assert any(isinstance(event, HistoryGap) for event in events)


async def test_a_sandbox_that_was_doubled(state_dir: Path, tmp_path: Path) -> None:
    """Its folder was copied while it ran, and what answers now is the copy's client."""
    async with EventStreamRuntime(None, backend="local") as runtime:
        folder, run = sandbox_folder(runtime.name), run_folder(runtime)
        await runtime.run(CmdRunAction(command=f"echo a >> {tmp_path}/log"), id="a")
        shutil.copytree(run, tmp_path / "run", symlinks=True)
        await runtime.run(CmdRunAction(command=f"echo b >> {tmp_path}/log"), id="b")
        socket = tmp_path / "client.sock"
        command = [sys.executable, "-m", "tether_runtime_client", "supervise", "--"]
        command += ["--unix", str(socket), "--run-dir", str(tmp_path / "run")]
        double = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert double.stdin is not None
        assert double.stdout is not None
        try:
            double.stdin.write(runtime._spec.secret.encode() + b"\n")
            double.stdin.close()
            await double.stdout.readuntil(b"ready")
            lost = asyncio.create_task(
                runtime.run(CmdRunAction(command="sleep 30", session="s"), id="lost")
            )
            async for event in runtime.events.subscribe(action_id="lost"):
                if isinstance(event, ActionAccepted):
                    break
            (folder / "socket" / "client.sock").rename(tmp_path / "original.sock")
            os.link(socket, folder / "socket" / "client.sock")
            await cut(runtime)
            with pytest.raises(ActionLost):
                async with asyncio.timeout(30):
                    await lost
            await runtime.run(CmdRunAction(command=f"echo c >> {tmp_path}/log"), id="c")
            assert (tmp_path / "log").read_text() == "a\nb\nc\n"
            events = list(runtime.events.since(0))
            assert_one(events)
            assert any(isinstance(event, HistoryGap) for event in events)
            (folder / "socket" / "client.sock").unlink()
            (tmp_path / "original.sock").rename(folder / "socket" / "client.sock")
            await cut(runtime)
            await runtime.run(CmdRunAction(command=f"echo d >> {tmp_path}/log"), id="d")
            assert_one(list(runtime.events.since(0)))
        finally:
            double.terminate()
            await double.wait()
