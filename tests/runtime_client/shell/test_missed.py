"""What should have had a signal: told from what began before it, and from jobs."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tether_runtime_client.proctree import read_process
from tether_runtime_client.shell.missed import Signalled, is_starting
from tether_runtime_client.shell.processes import children, family, signal_actions

from .conftest import Driver


def now(shell: Driver) -> Signalled:
    return Signalled.now(signal.SIGINT, shell.session.pid, shell.session.pid, final=True)


def left(last: Signalled) -> list[int]:
    """Those of the shell's children that are taken for forgotten ones."""
    found = filter(None, map(read_process, children(last.bash.pid)))
    return [process.pid for process in last.left(list(found))]


async def test_what_began_later_is_told_from_what_there_was(shell: Driver) -> None:
    await shell.run("sleep 60 & sleep 0.2")
    last = now(shell)
    assert left(last) == []
    await shell.run("sleep 60 &")
    assert left(last) == [int(await shell.say("echo $!"))]
    assert left(now(shell)) == []


async def test_orphans_of_a_job_are_not_the_shells(shell: Driver) -> None:
    """The shell is the parent of orphans below it."""
    await shell.run("while :; do (sleep 0.2 &); (setsid sleep 0.2 &); sleep 0.02; done & sleep 0.2")
    last = now(shell)
    before = set(last.images)
    async with asyncio.timeout(5):
        while len(set(children(last.bash.pid)) - before) < 4:
            await asyncio.sleep(0.01)
    assert left(last) == []
    assert last.missed(last.front) == []


async def test_a_fork_is_starting_until_it_takes_back_what_the_shell_does(shell: Driver) -> None:
    seen = 0
    for _ in range(100):
        started = shell.start("/bin/true | /bin/true")
        while not started.command.done.done():
            seen += starting(shell)
            await asyncio.sleep(0)
        await started.result()
    assert seen


SETTLED = (
    "sleep 60 | cat",
    "(sleep 60; :)",
    "x=$(/bin/true; sleep 60 | cat); :",
    "{ /bin/true; sleep 60; } | cat",
    "cat <(sleep 60; :)",
)


@pytest.mark.parametrize("command", SETTLED)
async def test_a_part_of_the_shell_that_runs_for_long_is_not_starting(
    shell: Driver, command: str
) -> None:
    started = shell.start(command)
    async with asyncio.timeout(5):
        while not any("sleep" in one.name for one in family(shell.session.pid)):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert starting(shell) == 0
    shell.session.interrupt()
    await started.result()


def starting(shell: Driver) -> int:
    bash = read_process(shell.session.pid)
    found = filter(None, map(read_process, children(shell.session.pid)))
    return sum(is_starting(process, bash) for process in found) if bash else 0


async def test_a_shell_that_has_ended_is_told(shell: Driver) -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    with pytest.raises(ProcessLookupError, match="ended"):
        Signalled.now(signal.SIGINT, process.pid, 0, final=True)
    assert signal_actions(process.pid) == (0, 0)


def test_signals_that_are_ignored_and_caught() -> None:
    ignored, caught = signal_actions(os.getpid())
    assert ignored & 1 << signal.SIGPIPE - 1  # Python does
    assert caught & 1 << signal.SIGINT - 1
