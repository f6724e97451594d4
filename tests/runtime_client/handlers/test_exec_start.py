"""Started execs on their connections: whoever is connected may be slow, gone, or not our server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tether_runtime_client.dispatcher import Context
from tether_runtime_client.execs import started as started_module
from tether_runtime_client.handlers import exec_start
from tether_runtime_client.handlers.exec_start import StartedExecs
from tether_runtime_client.oom_kills import OomKills
from tether_runtime_client.proctree import read_process
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.bulk import BulkStream, FailFrame, OpenFrame
from tether_runtime_client.protocol.exec_actions import (
    ExecAttachAction,
    ExecSignalAction,
    ExecStartAction,
    ListExecsAction,
)
from tether_runtime_client.protocol.exec_frames import ClosedFrame, EndedFrame, TakenFrame
from tether_runtime_client.protocol.limits import EXEC_WINDOW
from tether_runtime_client.protocol.observations import ExecAttachedObservation, ExecObservation
from tether_runtime_client.settings import ClientSettings
from tether_runtime_client.shell import BashChoice

from .conftest import Desk, connected_pair, environment_of, execs_of

BASH = BashChoice("/bin/bash", "5.2", "for the test")


class Stand:
    """The handler, and a server's side of its connections."""

    def __init__(self, desk: Desk, settings: ClientSettings, bash: BashChoice) -> None:
        self.desk = desk
        self.handler = StartedExecs(
            execs_of(settings),
            desk.tickets,
            settings,
            environment_of(settings),
            bash,
            OomKills(None),
        )
        self.tasks: list[asyncio.Task[ExecObservation]] = []
        self.streams: list[BulkStream] = []

    def start(self, command: str | None, **fields: Any) -> asyncio.Task[ExecObservation]:
        action = ExecStartAction.model_validate({"command": command, **fields})
        task = asyncio.create_task(self.handler.start(action, self.desk.context("a1")))
        self.tasks.append(task)
        return task

    async def attach(
        self, stdout: int = 0, stderr: int = 0
    ) -> tuple[BulkStream, ExecAttachedObservation]:
        await asyncio.sleep(0)  # the start's own turn
        action = ExecAttachAction(target_id="a1", stdout=stdout, stderr=stderr)
        seen = await self.handler.attach(action, self.desk.context("a2"))
        ours, theirs = await connected_pair()
        self.streams.append(ours)
        ours.send(OpenFrame(ticket=seen.ticket))
        await self.desk.tickets.present(theirs)
        return ours, seen

    async def signal(self, name: str) -> None:
        action = ExecSignalAction(target_id="a1", signal=name)
        await self.handler.signal(action, self.desk.context("a3"))

    async def close(self) -> None:
        for stream in self.streams:
            stream.abort("the test is over")
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def stand_of(
    desk: Desk, settings: ClientSettings, bash: BashChoice = BASH
) -> AsyncIterator[Stand]:
    stand = Stand(desk, settings, bash)
    try:
        async with asyncio.timeout(60):
            yield stand
    finally:
        await stand.close()


async def rest(stream: BulkStream) -> list[Any]:
    """Everything up to the connection's end, or to the exec's with all of its streams."""
    seen: list[Any] = []
    while (message := await stream.read()) is not None:
        seen.append(message)
        if sum(isinstance(each, ClosedFrame | EndedFrame) for each in seen) == 4:
            break
    return seen


async def shown(stream: BulkStream, until: bytes) -> bytes:
    """Output, up to the piece that has `until` in it."""
    data = b""
    while until not in data and (message := await stream.read()) is not None:
        data += message if isinstance(message, bytes) else b""
    return data


def running(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and process.alive


async def test_what_a_caller_of_an_exec_gets(desk: Desk, settings: ClientSettings) -> None:
    async with stand_of(desk, settings) as stand:
        task = stand.start("cat; exit 5", stdin=True)
        stream, seen = await stand.attach()
        assert (seen.exec.id, seen.stdin, seen.stdout, seen.stderr) == ("a1", 0, 0, 0)
        await stream.write(b"some input")
        stream.send(ClosedFrame(stream="stdin", bytes=10))
        told = await rest(stream)
        assert b"some input" in told
        assert TakenFrame(stream="stdin", bytes=10) in told
        assert ClosedFrame(stream="stdout", bytes=10) in told
        assert EndedFrame(exit_code=5) in told
        done = await task
        assert (done.exit_code, done.stdout, done.stdout_bytes) == (5, b"some input", 10)


async def test_input_beyond_the_window_ends_the_connection(
    desk: Desk, settings: ClientSettings
) -> None:
    async with stand_of(desk, settings) as stand:
        stand.start("sleep 1000", stdin=True)
        stream, seen = await stand.attach()
        with suppress(e.TransferError):
            for _ in range(20):
                await stream.write(b"x" * 100_000)
        await rest(stream)
        assert stream.closed_because is not None
        again, _ = await stand.attach()
        assert again.closed_because is None
        assert running(seen.exec.pid)


@pytest.mark.parametrize(
    "frame",
    [
        ClosedFrame(stream="stdin", bytes=5),
        ClosedFrame(stream="stdout", bytes=0),
        TakenFrame(stream="stdin", bytes=1),
        EndedFrame(exit_code=0),
        FailFrame(message="no"),
    ],
)
async def test_what_has_no_place_there_ends_the_connection(
    desk: Desk, settings: ClientSettings, frame: Any
) -> None:
    async with stand_of(desk, settings) as stand:
        task = stand.start("sleep 1000", stdin=True)
        stream, _ = await stand.attach()
        stream.send(frame)
        assert isinstance(await rest(stream), list)
        assert stream.closed_because is not None
        assert not task.done()


async def test_a_caller_that_never_comes_back(
    desk: Desk, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started_module, "ABANDONED_S", 0.3)
    async with stand_of(desk, settings) as stand:
        task = stand.start("set -m 2>/dev/null; sleep 1000 & echo $!; wait")
        stream, _ = await stand.attach()
        child = int(await shown(stream, b"\n"))
        await asyncio.sleep(0.6)
        assert not task.done(), "there is a caller"
        stream.abort("gone for ever")
        assert (await task).signal == signal.SIGKILL
        assert not running(child)


async def test_a_detached_one_needs_nobody(
    desk: Desk, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started_module, "ABANDONED_S", 0.1)
    async with stand_of(desk, settings) as stand:
        task = stand.start("seq 1 300000; sleep 0.5; exit 3", detach=True)
        done = await task
        assert (done.exit_code, done.stdout_bytes) == (3, 1_988_895)
        assert done.stdout_path is not None
        assert os.path.getsize(done.stdout_path) == 1_988_895


async def test_ended_ones_are_remembered_within_bounds(
    desk: Desk, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_start, "HELD_LIMIT", 500_000)
    async with stand_of(desk, settings) as stand:
        for n in range(5):
            action = ExecStartAction(command="head -c 200000 /dev/zero")
            await stand.handler.start(action, desk.context(f"e{n}"))
        listed = await stand.handler.list_all(ListExecsAction(), Context("l", lambda _: None))
        assert [one.id for one in listed.execs] == ["e3", "e4"]
        with pytest.raises(e.NoSuchProcess):
            await stand.handler.attach(ExecAttachAction(target_id="e0"), desk.context("x"))


async def test_a_start_that_fails_is_told_to_who_waits_for_it(
    desk: Desk, settings: ClientSettings
) -> None:
    async with stand_of(desk, settings) as stand:
        task = stand.start("true", cwd="/no/such/folder")
        with pytest.raises(e.WorkingDirectoryMissing):
            await stand.attach()
        with pytest.raises(e.WorkingDirectoryMissing):
            await task
        with pytest.raises(e.NoSuchProcess):
            await stand.signal("SIGTERM")


async def test_stopping_the_client_leaves_nothing(desk: Desk, settings: ClientSettings) -> None:
    async with stand_of(desk, settings) as stand:
        stand.start("seq 1 1000000; sleep 1000")
        stream, seen = await stand.attach()
        await stream.read()
    assert not running(seen.exec.pid)


async def test_a_killed_terminal_leaves_nothing(desk: Desk, settings: ClientSettings) -> None:
    command = "trap '' HUP TERM; setsid sleep 987 & echo $!; sleep 987 & echo $! $$ up; wait"
    async with stand_of(desk, settings) as stand:
        task = stand.start(command, tty=True)
        stream, _ = await stand.attach()
        text = await shown(stream, b"up")
        pids = [int(word) for word in text.split() if word.isdigit()]
        assert [running(pid) for pid in pids] == [True] * 3
        await stand.signal("SIGKILL")
        assert (await task).signal == signal.SIGKILL
        assert not any(running(pid) for pid in pids)


async def test_a_paste_longer_than_the_terminals_buffer(
    desk: Desk, settings: ClientSettings
) -> None:
    command = "stty raw -echo; echo up; sleep 0.3; head -c 500000 | sha256sum"
    data = os.urandom(500_000)
    async with stand_of(desk, settings) as stand:
        task = stand.start(command, tty=True)
        stream, _ = await stand.attach()
        await shown(stream, b"up")
        await stream.write(data)
        assert hashlib.sha256(data).hexdigest().encode() in (await task).stdout


async def test_a_login_shell(desk: Desk, settings: ClientSettings) -> None:
    async with stand_of(desk, settings) as stand:
        task = stand.start(None, argv=(), tty=True, rows=33, cols=101, cwd="/usr", env={"A": "5"})
        stream, _ = await stand.attach()
        await stream.write(b"stty size; echo $A $TERM $PWD; shopt login_shell; exit 7\n")
        done = await task
        assert done.exit_code == 7
        for wanted in (b"33 101\r\n", b"5 xterm-256color /usr\r\n", b"login_shell    \ton"):
            assert wanted in done.stdout


async def test_an_image_without_any_shell(
    desk: Desk, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/none")
    async with stand_of(desk, settings, BashChoice("", "", "none")) as stand:
        with pytest.raises(e.NoShell):
            await stand.start(None, argv=(), tty=True)


async def test_what_was_detached_on_purpose_outlives_a_terminal(
    desk: Desk, settings: ClientSettings
) -> None:
    async with stand_of(desk, settings) as stand:
        task = stand.start("trap '' HUP; sleep 30 & echo $!; exit 2", tty=True)
        done = await task
        pid = int(done.stdout)
        assert (done.exit_code, running(pid)) == (2, True)
        os.kill(pid, signal.SIGKILL)


async def test_a_program_that_closes_its_terminal(desk: Desk, settings: ClientSettings) -> None:
    async with stand_of(desk, settings) as stand:
        done = await stand.start("echo bye; exec <&- >&- 2>&-; sleep 0.3; exit 6", tty=True)
        assert (done.exit_code, done.stdout) == (6, b"bye\r\n")


async def test_output_that_was_lost_is_said(
    desk: Desk, settings: ClientSettings, small_disk: Any
) -> None:
    small_disk(settings.state / "output")
    async with stand_of(desk, settings) as stand:
        done = await stand.start("head -c 3000000 /dev/zero; exit 2", detach=True)
        assert (done.exit_code, done.stdout_bytes, done.stdout_path) == (2, 3_000_000, None)
        stream, _ = await stand.attach()
        stream.send(TakenFrame(stream="stdout", bytes=EXEC_WINDOW // 2))
        told = await rest(stream)
        (failed,) = [each for each in told if isinstance(each, FailFrame)]
        assert failed.code == "disk_full"
