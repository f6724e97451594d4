"""Truth about death: what ended a command, its shell, its client or its sandbox is told apart."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
import pytest_asyncio

from tether_server import (
    ActionCancelled,
    ActionError,
    ActionLost,
    ClientStarted,
    CmdOutputObservation,
    CmdPollAction,
    CmdRunAction,
    CommandEnded,
    Event,
    EventStreamRuntime,
    FileEditAction,
    NothingRunning,
    OutOfMemory,
    SandboxGone,
    SandboxStopped,
    SessionEnded,
)

from ..places import ENGINE, PLACES
from .conftest import Shell

E = TypeVar("E", bound=Event)

HOG = "tail /dev/zero"
"""Keeps in memory all of a line that has no end."""

MEMORY = "192m"


def told(runtime: EventStreamRuntime, kind: type[E]) -> list[E]:
    """The events of a kind."""
    return [event for event in runtime.events.since(0) if isinstance(event, kind)]


async def run(runtime: EventStreamRuntime, command: str) -> CmdOutputObservation:
    return await runtime.run(CmdRunAction(command=command, timeout_s=60))


# --- by signals and exit codes: in every place


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "USR1", "PIPE"])
async def test_a_signal_that_ends_a_command(shell: Shell, name: str) -> None:
    pid = await shell.output("echo $$")
    number = signal.Signals[f"SIG{name}"]
    seen = await shell.run(f"sh -c 'kill -{name} $$'")
    assert (seen.status, seen.exit_code, seen.signal) == ("completed", 128 + number, number)
    assert (seen.oom_kills, seen.state_lost) == (0, None)
    assert await shell.output("echo $$") == pid


async def test_an_exit_code_is_no_signal(shell: Shell) -> None:
    for code in (0, 1, 2, 126, 127, 128, 200, 255):
        seen = await shell.run(f"(exit {code})")
        assert (seen.exit_code, seen.signal, seen.status) == (code, None, "completed")


async def test_an_interrupt_is_told_from_a_signal(shell: Shell) -> None:
    assert (await shell.run("sleep 30", timeout_s=0.2)).status == "timeout"
    seen = await shell.interrupt()
    assert (seen.status, seen.signal) == ("interrupted", signal.SIGINT)
    seen = await shell.run("sh -c 'kill -TERM $$'")
    assert (seen.status, seen.signal) == ("completed", signal.SIGTERM)


async def test_the_shells_end_is_told_from_the_commands(shell: Shell) -> None:
    seen = await shell.run("kill -9 $$; sleep 1")
    assert (seen.status, seen.signal) == ("session_ended", signal.SIGKILL)
    assert seen.state_lost is not None
    assert (seen.state_lost.cause, seen.oom_kills) == ("signal", 0)
    seen = await shell.run("exit 137")
    assert seen.status == "session_ended"
    assert seen.state_lost is not None
    assert seen.state_lost.cause == "exit"


async def test_a_reset_is_told_from_the_shells_end(shell: Shell) -> None:
    running = asyncio.ensure_future(shell.run("sleep 30"))
    await asyncio.sleep(0.3)
    await shell.reset()
    seen = await running
    assert seen.status == "session_ended"
    assert seen.state_lost is not None
    assert seen.state_lost.cause == "reset"


# --- the client: children are taken before it, and it takes no more than its share


async def test_what_the_client_starts_is_taken_before_it(shell: Shell) -> None:
    score = "cat /proc/self/oom_score_adj"
    shell_score = int(await shell.output(score))
    exec_score = int((await shell.runtime.exec(f"sleep 0.1; {score}")).stdout)
    client = await shell.output("cat /proc/$PPID/oom_score_adj")
    assert shell_score == exec_score == 500
    assert int(client) < shell_score


@pytest.mark.parametrize(
    "flood",
    [
        "head -c 100000000 /dev/zero >&1002",
        "head -c 10000000 /dev/zero | tr '\\0' '\\r'",
        "for n in 1004 1005; do head -c 100000000 /dev/zero >/proc/$$/fd/$n; done",
        "export BIG=$(head -c 3000000 /dev/zero | tr '\\0' x); for n in {1..20}; do :; done",
    ],
    ids=["statuses", "carriage returns", "mailboxes", "environment"],
)
async def test_the_clients_memory_is_bounded(shell: Shell, flood: str) -> None:
    """Whatever comes on whichever way."""
    client = await shell.output("echo $PPID")
    await shell.run("printf x; exit 3")  # what a replacement needs, it has by now
    before = await resident(shell, client)
    await shell.run(flood)
    await shell.run("exit 3")
    await shell.output("true")
    assert await resident(shell, client) - before < 48 * 1024 * 1024


async def resident(shell: Shell, pid: str) -> int:
    """Bytes of memory a process has."""
    seen = await shell.runtime.exec(["grep", "VmRSS", f"/proc/{pid.strip()}/status"])
    return int(seen.stdout.split()[1]) * 1024


# --- memory: in containers, which have a limit of their own

CONTAINERS = pytest.mark.parametrize(
    "lone",
    [pytest.param("debian", marks=ENGINE), pytest.param("busybox", marks=ENGINE)],
    indirect=True,
)
SMALL = pytest.mark.parametrize(
    "image", [pytest.param("debian", marks=ENGINE), pytest.param("busybox", marks=ENGINE)]
)


@pytest_asyncio.fixture(loop_scope="session")
async def small(request: pytest.FixtureRequest, image: str) -> AsyncIterator[EventStreamRuntime]:
    """A container with little memory, and no swap."""
    limits = {"mem_limit": MEMORY, "memswap_limit": MEMORY, "shm_size": "512m"}
    async with EventStreamRuntime(request.getfixturevalue(image), resources=limits) as runtime:
        yield runtime


@SMALL
async def test_memory_that_runs_out(small: EventStreamRuntime) -> None:
    """Of a command, of a part of one, of its shell, of an exec; and then not any more."""
    pid = (await run(small, "cd /tmp; export KEPT=1; echo $$")).content
    seen = await run(small, HOG)
    assert (seen.status, seen.signal, seen.oom_kills) == ("completed", signal.SIGKILL, 1)
    seen = await run(small, f"{HOG} || echo went on; exit_code() {{ return 2; }}; exit_code")
    assert (seen.exit_code, seen.signal, seen.oom_kills) == (2, None, 1)
    assert seen.content.endswith("went on\n")
    assert (await run(small, "echo $$")).content == pid
    ended = await small.exec(["tail", "/dev/zero"])
    assert (ended.signal, ended.oom_kills) == (signal.SIGKILL, 1)
    seen = await run(small, "sh -c 'kill -9 $$'")
    assert (seen.signal, seen.oom_kills) == (signal.SIGKILL, 0)
    seen = await run(small, "x=$(tr '\\0' x </dev/zero)")
    assert seen.oom_kills >= 1
    seen = await run(small, "x=; while :; do x=$x$x$RANDOM; done")
    assert seen.state_lost is not None
    assert (seen.status, seen.state_lost.cause) == ("session_ended", "out_of_memory")
    assert [event.cause for event in told(small, SessionEnded)][-1:] == ["out_of_memory"]
    assert (await run(small, "pwd; echo $KEPT")).content == "/tmp\n1\n"
    assert sum(event.oom_kills for event in told(small, OutOfMemory)) >= 5
    assert len(told(small, ClientStarted)) == 1  # it has not been touched


@SMALL
async def test_memory_that_ran_out_in_the_background(small: EventStreamRuntime) -> None:
    """It is no command's: it is told beside the next one, and not as its own."""
    await run(small, f"({HOG}; touch /tmp/over) 2>/dev/null & disown")
    await small.exec("until [ -e /tmp/over ]; do sleep 0.1; done", timeout_s=30)
    seen = await run(small, "(exit 9)")
    assert (seen.exit_code, seen.oom_kills) == (9, 0)
    assert [event.oom_kills for event in told(small, OutOfMemory)] == [1]


@SMALL
async def test_a_container_without_memory(small: EventStreamRuntime) -> None:
    """Files in memory are nobody's: when they fill it, all processes are taken, one by one."""
    fill = CmdRunAction(command="cat /dev/zero >/dev/shm/full; cat /dev/zero >/dev/shm/more")
    gone = await asyncio.wait_for(until_gone(small, fill), 60)
    assert gone.data["cause"] == "out_of_memory"
    stopped = told(small, SandboxStopped)
    assert [event.cause for event in stopped] == ["out_of_memory"]
    assert "memory had run out" in stopped[0].reason


async def until_gone(runtime: EventStreamRuntime, action: CmdRunAction) -> SandboxGone:
    """Runs it again and again, whatever becomes of it."""
    while True:
        try:
            await runtime.run(action)
        except SandboxGone as gone:
            return gone
        except ActionError:
            continue


# --- client and container


@pytest_asyncio.fixture(loop_scope="session", params=PLACES)
async def lone(request: pytest.FixtureRequest) -> AsyncIterator[EventStreamRuntime]:
    """A runtime that no other test has."""
    place: str = request.param
    image = None if place == "local" else request.getfixturevalue(place)
    async with EventStreamRuntime(image, backend="docker" if image else "local") as runtime:
        yield runtime


async def test_the_death_of_a_client(lone: EventStreamRuntime) -> None:
    """What ran is lost, and told so once; a session goes on where it was, in a fresh shell, and
    edits of files are taken back.
    """
    await run(lone, "mkdir -p /tmp/there; cd /tmp/there; export GONE=1; rm -f file")
    edit = {"path": "/tmp/there/file", "file_text": "0\n", "old_str": "", "new_str": "0\n"}
    for number, command in enumerate(["create", *["str_replace"] * 20]):
        edit |= {"command": command, "old_str": edit["new_str"], "new_str": f"{number}\n"}
        await lone.run(FileEditAction.model_validate(edit))
    began = time.monotonic()
    with pytest.raises(ActionLost) as lost:
        await run(lone, "echo partly; sleep 0.2; kill -9 $PPID; sleep 30")
    assert lost.value.data["previous_end"] == "signal 9 (SIGKILL)"
    assert "partly" in lost.value.data["partial"]
    seen = await run(lone, "pwd; echo ${GONE-gone}")
    assert seen.content == "/tmp/there\ngone\n"
    assert seen.state_lost is not None
    assert seen.state_lost.cause == "client_died"
    assert time.monotonic() - began < 10
    undo = FileEditAction(command="undo_edit", path="/tmp/there/file")
    for number in range(19, -1, -1):
        assert (await lone.run(undo)).content == f"{number}\n"
    [_, started] = told(lone, ClientStarted)
    assert (started.previous_end, started.oom_kills) == ("signal 9 (SIGKILL)", 0)
    assert (await run(lone, "true")).state_lost is None


ASKS_TO_END = "read -r _ _ _ up _ </proc/$PPID/stat; for n in TERM INT QUIT; do kill -$n {}; done"


async def test_a_timed_out_command_of_a_client_that_died(lone: EventStreamRuntime) -> None:
    """Its end is told as any other's, once; and a poll is told why there is nothing to poll."""
    action = CmdRunAction(command="echo seen; sleep 30", session="aside", timeout_s=0.2)
    assert (await lone.run(action, id="aside")).status == "timeout"
    ended = CmdRunAction(command="echo x; sleep 0.4", session="ended", timeout_s=0.1)
    assert (await lone.run(ended)).status == "timeout"
    assert (await lone.run(CmdPollAction(session="ended", timeout_s=20))).status == "completed"
    for _ in range(2):
        with pytest.raises(ActionLost):
            await run(lone, "kill -9 $PPID; sleep 30")
    with pytest.raises(NothingRunning, match="the former client"):
        await lone.run(CmdPollAction(session="aside"))
    one, other = told(lone, CommandEnded)
    assert (one.session, one.status, one.exit_code) == ("ended", "completed", 0)
    assert (other.action_id, other.session, other.status) == ("aside", "aside", "session_ended")
    assert (other.exit_code, other.total_bytes) == (None, 5)


async def test_who_asks_the_client_to_end(
    lone: EventStreamRuntime, request: pytest.FixtureRequest
) -> None:
    """A `kill` or a `pkill -f python` of a command means what runs there, not what runs it."""
    await run(lone, "plain=1; sleep 1000 & true")
    for whom in ("$PPID", "$up"):
        seen = await run(lone, f"{ASKS_TO_END.format(whom)}; echo on $plain")
        assert (seen.status, seen.content) == ("completed", "on 1\n"), whom
    if "local" not in request.node.name:  # there it would end whoever tests
        assert (await run(lone, "kill -TERM -1; wait $!; echo $?")).content.endswith("143\n")
    assert (await run(lone, "echo $plain")).content == "1\n"
    assert len(told(lone, ClientStarted)) == 1


@pytest.mark.slow
async def test_who_stops_the_client(
    lone: EventStreamRuntime, request: pytest.FixtureRequest
) -> None:
    """It goes on after five seconds, and with it what its command does."""
    whom = "$PPID" if "local" in request.node.name else "-1"
    began = time.monotonic()
    seen = await run(lone, f"kill -STOP {whom}; echo on")
    assert (seen.status, seen.content) == ("completed", "on\n")
    assert time.monotonic() - began < 25
    assert len(told(lone, ClientStarted)) == 1


@CONTAINERS
async def test_the_death_of_everything(lone: EventStreamRuntime) -> None:
    """`kill -9 -1` takes the client too, and nothing but the container's first process stays."""
    await run(lone, "cd /tmp")
    began = time.monotonic()
    with pytest.raises(ActionLost):
        await run(lone, "kill -9 -1; sleep 30")
    assert (await run(lone, "pwd")).content == "/tmp\n"
    assert time.monotonic() - began < 10


@CONTAINERS
@pytest.mark.parametrize(
    ("how", "cause", "code"),
    [
        (["stop", "--time=5"], "stopped", 0),
        (["kill"], "killed", 137),
        (["rm", "--force", "--volumes"], "killed", 137),
    ],
    ids=["stop", "kill", "rm"],
)
async def test_the_end_of_a_container(
    lone: EventStreamRuntime, how: list[str], cause: str, code: int | None
) -> None:
    container = (await run(lone, "hostname || cat /etc/hostname")).content.strip()
    running = asyncio.ensure_future(run(lone, "sleep 30"))
    await asyncio.sleep(0.2)
    process = await asyncio.create_subprocess_exec("docker", *how, container, stdout=DEVNULL)
    assert await process.wait() == 0
    with pytest.raises((SandboxGone, ActionCancelled)):
        await running
    with pytest.raises(SandboxGone) as gone:
        await run(lone, "echo never")
    assert (gone.value.data["cause"], gone.value.data["exit_code"]) == (cause, code)
    assert [(event.cause, event.exit_code) for event in told(lone, SandboxStopped)] == [
        (cause, code)
    ]


async def test_the_end_that_was_asked_for(lone: EventStreamRuntime) -> None:
    await run(lone, "true")
    await lone.close()
    assert [event.cause for event in told(lone, SandboxStopped)] == ["closed"]
