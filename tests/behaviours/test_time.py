"""Time: a command past its time goes on, and what it does then is told as it comes."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from asyncio.subprocess import PIPE

import pytest

from tether_server import (
    CmdPollAction,
    CmdRunAction,
    CommandEnded,
    ConnectionLost,
    EventStreamRuntime,
    SyncEventStreamRuntime,
)
from tether_server import link as server_link

from .conftest import Shell

_ids = itertools.count(1)


async def ended(runtime: EventStreamRuntime, action_id: str, since: int) -> CommandEnded:
    """The event that says so."""
    async with asyncio.timeout(30):
        async for event in runtime.events.subscribe(since, action_id=action_id):
            if isinstance(event, CommandEnded):
                return event
    raise AssertionError("the stream ended")


async def test_a_hard_timeout_returns_what_there_is(shell: Shell) -> None:
    began = time.monotonic()
    seen = await shell.run("echo one; sleep 0.8; echo two; (exit 3)", timeout_s=0.3)
    assert time.monotonic() - began < 1.5
    assert (seen.status, seen.content, seen.exit_code) == ("timeout", "one\n", None)
    assert seen.foreground == ("sleep",)
    seen = await shell.poll()
    assert (seen.status, seen.content, seen.exit_code) == ("completed", "two\n", 3)


async def test_a_silence_timeout_counts_from_the_last_output(shell: Shell) -> None:
    script = "for i in 1 2 3 4; do echo $i; sleep 0.2; done; sleep 1.5; echo late"
    seen = await shell.run(script, no_output_timeout_s=0.7)
    assert (seen.status, seen.content, seen.exit_code) == ("timeout", "1\n2\n3\n4\n", None)
    assert 1.2 < seen.duration_s < 2
    seen = await shell.poll()
    assert (seen.status, seen.content, seen.exit_code) == ("completed", "late\n", 0)


async def test_the_earlier_of_two_timeouts_counts(shell: Shell) -> None:
    script = "while echo x; do sleep 0.1; done"
    seen = await shell.run(script, timeout_s=0.5, no_output_timeout_s=0.3)
    assert seen.status == "timeout"
    assert seen.content.count("x\n") > 2
    await shell.interrupt()
    seen = await shell.run("sleep 5", timeout_s=30, no_output_timeout_s=0.2)
    assert (seen.status, seen.content) == ("timeout", "")
    assert seen.duration_s < 1.5


async def test_no_time_at_all_and_more_than_there_is(shell: Shell) -> None:
    seen = await shell.run("sleep 0.1; echo done", timeout_s=0)
    assert (seen.status, seen.content) == ("timeout", "")
    assert (await shell.poll(timeout_s=1e12)).content == "done\n"
    assert (
        await shell.output("sleep 0.1; echo a", timeout_s=1e300, no_output_timeout_s=1e9) == "a\n"
    )


async def test_a_poll_has_only_what_is_new(shell: Shell) -> None:
    seen = await shell.run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.15; done", timeout_s=0.2)
    contents = [seen.content]
    while seen.exit_code is None:
        seen = await shell.poll(timeout_s=0.2)
        contents.append(seen.content)
        assert seen.total_bytes == sum(map(len, contents))
    assert "".join(contents) == "1\n2\n3\n4\n5\n6\n"
    assert len(contents) > 3
    again = await shell.poll()
    assert (again.status, again.content, again.exit_code) == ("completed", "", 0)


async def test_a_poll_that_waits_returns_at_the_end(shell: Shell) -> None:
    await shell.run("sleep 0.4; echo done", timeout_s=0.1)
    began = time.monotonic()
    assert (await shell.poll(timeout_s=30)).content == "done\n"
    assert time.monotonic() - began < 2


async def test_the_end_of_a_timed_out_command_is_an_event(shell: Shell) -> None:
    runtime, since = shell.runtime, shell.runtime.events.last_seq
    for wait_in_a_poll in (False, True):
        name = f"late-{shell.session}-{next(_ids)}"
        action = CmdRunAction(
            command="sleep 0.3; echo more; (exit 4)", session=shell.session, timeout_s=0.1
        )
        assert (await runtime.run(action, id=name)).status == "timeout"
        polling = asyncio.create_task(shell.poll(timeout_s=30 if wait_in_a_poll else 0))
        event = await ended(runtime, name, since)
        assert (event.exit_code, event.status, event.total_bytes) == (4, "completed", 5)
        assert event.session == shell.session
        await polling
        assert (await shell.poll()).exit_code == 4


async def test_a_command_that_ends_in_time_has_no_such_event(shell: Shell) -> None:
    since = shell.runtime.events.last_seq
    await shell.output("echo a")
    await shell.run("sleep 0.05", timeout_s=0)
    await shell.poll()
    told = [e for e in shell.runtime.events.since(since) if isinstance(e, CommandEnded)]
    assert len(told) == 1


async def test_all_output_is_in_the_file_though_nobody_waited(shell: Shell) -> None:
    since, name = shell.runtime.events.last_seq, f"whole-{shell.session}"
    half = "head -c 400000 /dev/zero | tr '\\0' x"
    action = CmdRunAction(
        command=f"{half}; sleep 0.4; {half}; echo", session=shell.session, timeout_s=0.2
    )
    seen = await shell.runtime.run(action, id=name)
    assert seen.status == "timeout"
    await ended(shell.runtime, name, since)
    seen = await shell.poll()
    assert (seen.exit_code, seen.total_bytes, seen.truncated) == (0, 800_001, True)
    path = seen.full_output_path
    assert (await shell.runtime.exec(["cat", str(path)])).stdout == b"x" * 800_000 + b"\n"


async def test_quiet_for_many_times_the_pause_between_two_pings(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a connection up over any timeout: it is asked while nothing else crosses it."""
    monkeypatch.setattr(server_link, "PING_EVERY_S", 0.3)
    shell.runtime.cut_connection()  # the one there is waits for the former pause
    await shell.output("true")
    since = shell.runtime.events.last_seq
    assert await shell.output("sleep 2; echo on") == "on\n"
    events = shell.runtime.events.since(since)
    assert not any(isinstance(event, ConnectionLost) for event in events)


LONG = "sleep 303; echo done"


async def through(runtime: EventStreamRuntime) -> None:
    """A command of more than 300 quiet seconds, with a timeout of exactly as many."""
    async with runtime:
        seen = await runtime.run(CmdRunAction(command=LONG, timeout_s=300))
        assert (seen.status, seen.exit_code) == ("timeout", None)
        assert 299.9 < seen.duration_s < 302
        seen = await runtime.run(CmdPollAction(timeout_s=60))
        assert (seen.status, seen.content) == ("completed", "done\n")
        events = runtime.events.since(0)
        assert not any(isinstance(event, ConnectionLost) for event in events)


def through_sync() -> None:
    """The same for code without asyncio, and without any timeout."""
    with SyncEventStreamRuntime(backend="local") as runtime:
        assert runtime.run(CmdRunAction(command=LONG)).content == "done\n"


async def through_the_command_line() -> None:
    """`tether run`."""
    words = ("-m", "tether_server.cli", "run", "--local", "-n", "--", "sh", "-c", LONG)
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=PIPE)
    assert await process.communicate() == (b"done\n", None)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(400)
async def test_no_layer_cuts_300_seconds(debian: str, busybox: str) -> None:
    """Over every transport, in every way to ask."""
    await asyncio.gather(
        *(through(EventStreamRuntime(debian, transport=t)) for t in ("unix", "tcp", "exec")),
        through(EventStreamRuntime(busybox)),
        through(EventStreamRuntime(backend="local")),
        through_the_command_line(),
        asyncio.to_thread(through_sync),
    )
