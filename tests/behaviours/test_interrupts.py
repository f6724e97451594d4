"""Stopping: an interrupt ends a command and nothing else; who needs more has to ask for it."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress

import pytest

from tether_server import (
    CmdRunAction,
    InvalidAction,
    NothingRunning,
    SessionWarning,
)

from ..races import racing, what_is_left
from .conftest import Shell

NO_LATER_LINE = (
    "sleep 60\necho no",
    "sleep 60; echo no",
    "while :; do :; done\necho no",
    "for i in 1 2 3; do sleep 20; echo no; done\necho no",
    "f() { sleep 60; echo no; }; f; echo no\necho no",
    "sleep 60 | cat\necho no",
    "read x\necho no",
    "(sleep 60; echo no)\necho no",
    "x=$(sleep 60); echo no",
    "if sleep 60; then echo no; else echo no; fi\necho no",
    "sleep 60 && echo no || echo no",
    "sleep 60 & wait; echo no",
    "cat <<END | sleep 60\nx\nEND\necho no",
    "stty raw intr undef -isig; sleep 60; echo no",
    "yes >/dev/null\necho no",
    "set +m; sleep 60; set -m; echo no",
)

STUBBORN = '"$BASH" -c \'trap "" INT; echo on; while :; do sleep 1; done\''
"""It ignores SIGINT, and its shell would tell of its end."""


async def test_no_later_line_of_an_interrupted_command_runs(shell: Shell) -> None:
    for command in NO_LATER_LINE:
        first = await shell.run(command, timeout_s=0.15)
        began = time.monotonic()
        seen = await shell.interrupt()
        assert time.monotonic() - began < 1, command
        assert (seen.status, seen.exit_code) == ("interrupted", 130), command
        assert "no\n" not in first.content + seen.content, command
        assert await shell.output("echo next") == "next\n"


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM", "SIGQUIT"])
async def test_also_where_the_program_ends_in_its_own_way(shell: Shell, signal: str) -> None:
    handles = f'"$BASH" -c \'trap "exit 3" {signal[3:]}; echo on; while :; do sleep 0.02; done\''
    first = await shell.run(f"{handles}; echo no\necho no", no_output_timeout_s=0.3)
    assert first.content == "on\n"
    seen = await shell.interrupt(signal=signal)
    assert (seen.exit_code, "no\n" in seen.content) == (130, False)
    assert await shell.output("echo next") == "next\n"


async def test_a_program_alone_says_how_it_ended(shell: Shell) -> None:
    await shell.output("printf 'trap \"exit 3\" INT\\nwhile :; do sleep 0.02; done\\n' >/tmp/$$.h")
    await shell.run('"$BASH" /tmp/$$.h', timeout_s=0.3)
    seen = await shell.interrupt()
    assert (seen.status, seen.exit_code) == ("completed", 3)
    await shell.output("rm /tmp/$$.h")


async def test_an_interrupt_alone_does_not_escalate(shell: Shell) -> None:
    await shell.run(STUBBORN, no_output_timeout_s=0.3)
    for _ in range(3):
        seen = await shell.interrupt(timeout_s=0.2)
        assert (seen.status, seen.exit_code) == ("timeout", None)
    assert (await shell.poll(timeout_s=0)).exit_code is None
    seen = await shell.interrupt(signal="SIGKILL")
    assert (seen.status, seen.exit_code) == ("interrupted", 137)
    assert await shell.output("echo next") == "next\n"


@pytest.mark.parametrize(("ignored", "code"), [("INT", 143), ("INT TERM", 137)])
async def test_it_does_where_it_is_told_to(shell: Shell, ignored: str, code: int) -> None:
    ignores = f'"$BASH" -c \'trap "" {ignored}; echo on; while :; do sleep 0.2; done\'; echo no'
    await shell.run(ignores, no_output_timeout_s=0.3)
    began = time.monotonic()
    seen = await shell.interrupt(escalate=True, timeout_s=0.4)
    assert (seen.status, seen.exit_code) == ("interrupted", code)
    assert "no\n" not in seen.content
    assert 0.3 < time.monotonic() - began < 3
    assert await shell.output("echo next") == "next\n"


@pytest.mark.parametrize("body", ["sleep 0.1", "cat"])
async def test_escalating_ends_a_loop_of_the_shell_itself(shell: Shell, body: str) -> None:
    """No signal to what is in front ends it: every time that is another process, or reader."""
    await shell.output("cd /dev; kept=no; export also=yes")
    await shell.run(f"trap '' INT TERM; while :; do {body}; done", timeout_s=0.3)
    seen = await shell.interrupt(escalate=True, timeout_s=0.4)
    assert (seen.status, seen.exit_code) == ("session_ended", 137)
    assert seen.state_lost is not None
    assert await shell.output('echo "$PWD $kept $also"') == "/dev  yes\n"


async def test_escalating_stops_where_a_signal_was_enough(shell: Shell) -> None:
    await shell.run("sleep 60", timeout_s=0.1)
    began = time.monotonic()
    seen = await shell.interrupt(escalate=True, timeout_s=20)
    assert (seen.status, seen.exit_code) == ("interrupted", 130)
    assert time.monotonic() - began < 5


async def test_what_cannot_be_interrupted(shell: Shell) -> None:
    with pytest.raises(NothingRunning):
        await shell.interrupt()
    await shell.output("true")
    with pytest.raises(NothingRunning):
        await shell.interrupt()
    await shell.run("sleep 60", timeout_s=0.1)
    with pytest.raises(InvalidAction, match="SIGNONSENSE"):
        await shell.interrupt(signal="SIGNONSENSE")
    assert (await shell.interrupt()).exit_code == 130


async def test_a_flood_can_be_stopped(shell: Shell) -> None:
    for command in ("yes", "yes | cat", "while :; do echo flood; done", "cat /dev/zero"):
        await shell.run(command, timeout_s=0.2)
        seen = await shell.interrupt(timeout_s=10)
        assert seen.status == "interrupted", command
        assert await shell.output("echo next") == "next\n"


@pytest.mark.parametrize("many", [340, pytest.param(1000, marks=pytest.mark.slow)])
async def test_interrupts_that_race_ends_lose_nothing(shell: Shell, many: int) -> None:
    """A thousand in the three places: no byte, no status, no shell, and none into the next."""
    chance = random.Random(7)
    since = shell.runtime.events.last_seq
    pid = (await shell.run("echo $$")).pid
    sent = 0
    for number in range(10 * many):
        if sent == many:
            break
        action = CmdRunAction(command=racing(number), session=shell.session)
        running = asyncio.create_task(shell.runtime.run(action))
        await asyncio.sleep(chance.random() * 0.0008)  # about what the shortest takes
        told = None
        with suppress(NothingRunning):
            told = await shell.interrupt()
            sent += 1
        seen = await running
        lines = what_is_left(number, seen.content + (told.content if told else ""))
        assert (seen.status, seen.exit_code) in (("completed", 0), ("interrupted", 130)), seen
        if seen.status == "completed":
            assert len(lines) == 2
        assert await shell.output(f"echo ={number}") == f"={number}\n"
    assert sent == many
    assert (await shell.run("echo $$")).pid == pid
    events = shell.runtime.events.since(since)
    warnings = [event for event in events if isinstance(event, SessionWarning)]
    assert [one.message for one in warnings if one.session == shell.session] == []


AS_IT_STARTS = (
    "/bin/true; /bin/true; sleep 97.5",
    "sleep 97.5",
    "/bin/true; sleep 97.5 | cat",
    "/bin/true; (/bin/true; sleep 97.5)",
    "for i in 1 2 3; do /bin/true; done; sleep 97.5",
)


async def test_a_program_that_is_just_starting_is_interrupted_too(shell: Shell) -> None:
    chance = random.Random(9)
    await shell.output("true")
    for command in AS_IT_STARTS * 10:
        action = CmdRunAction(command=command, session=shell.session, timeout_s=20)
        running = asyncio.create_task(shell.runtime.run(action))
        await asyncio.sleep(chance.uniform(0.001, 0.008))
        while not running.done():
            with suppress(NothingRunning):  # on a busy machine the command has not come there yet
                await shell.interrupt(timeout_s=10)
                break
        assert (await running).status == "interrupted", command
