"""Boundaries: what ends or breaks a session is noticed at once and told; the next command has a
fresh shell in the last directory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    SessionEnded,
    SessionWarning,
    ShellStartFailed,
)

from .conftest import Shell
from .sessions import sessions

NOTICED_S = 5.0
"""What is promised is a second; most is noticed in milliseconds, but tests share their machine."""

# The command, its exit code (or that of the next one, with "later"), and why the shell is no more.
ENDS = {
    "exit": ("exit 3", 3, "exit"),
    "exit without a code": ("false; exit", 1, "exit"),
    "exit in a trap": ("trap 'exit 4' DEBUG", 4, "exit"),
    "exit trap": ("trap 'echo bye' EXIT; exit 4", 4, "exit"),
    "errexit": ("set -e; false; echo no", 1, "exit"),
    "strict mode": ("set -euo pipefail; echo a | grep b; echo no", 1, "exit"),
    "exit with a job": ("(sleep 5) & exit 3", 3, "exit"),
    "an ERR trap that exits": ("trap 'exit 7' ERR; false; echo no", 7, "exit"),
    "exec true": ("exec true", 0, "exit"),
    "exec false": ("exec false", 1, "exit"),
    "exec of a shell": ("exec bash --norc 2>/dev/null || exec sh", None, "exec"),
    "exec of a program that reads": ("exec cat", None, "exec"),
    "kill -9": ("kill -9 $$; sleep 1", 137, "signal"),
    "kill -9 0": ("kill -9 0", 137, "signal"),
    "kill -HUP": ("kill -HUP $$; sleep 1", 129, "signal"),
    "a crash": ("kill -SEGV $$; sleep 1", 139, "signal"),
    "endless recursion": ("ulimit -s 256; f() { f; }; f", 139, "signal"),
    "disabled builtins": ("enable -n builtin eval printf", None, "broken"),
    "every descriptor closed": (
        'for n in {1000..1005}; do eval "exec $n>&-"; done',
        None,
        "broken",
    ),
    "no files": ("ulimit -n 2", None, "broken"),
    "few files": ("ulimit -n 4", None, "broken"),
    "extdebug with a false trap": ("shopt -s extdebug; trap false DEBUG", None, "broken"),
    "a directory name without an end": (
        "PWD=$(head -c 300000 /dev/zero | tr '\\0' x)",
        None,
        "broken",
    ),
    "a keyword that is an alias": ("alias '{=exit'", None, "broken later"),
    "another keyword": ("alias '[[=exit'", 2, "exit later"),
}


async def test_the_end_of_a_shell(shell: Shell) -> None:
    """Each in a session of its own, side by side."""
    async with sessions(shell, ENDS) as own:
        await asyncio.gather(*(is_replaced(own[name], *ENDS[name]) for name in ENDS))


async def is_replaced(shell: Shell, command: str, code: int | None, why: str) -> None:
    seq = shell.runtime.events.last_seq
    await shell.output("mkdir -p '/tmp/last place' && cd '/tmp/last place'")
    await shell.output("export KEPT='a \"b\" $c'; plain=1")
    pid = await shell.output("echo $$")
    began = time.monotonic()
    ended = await shell.run(command)
    cause, _, later = why.partition(" ")
    if later:  # it is the next command that finds the shell unusable
        assert (ended.status, ended.exit_code) == ("completed", 0)
        ended = await shell.run("echo never")
    noticed = time.monotonic() - began
    assert (ended.status, ended.exit_code) == ("session_ended", code), (command, ended)
    assert ended.state_lost is not None
    assert (ended.state_lost.cause, ended.cwd) == (cause, "/tmp/last place"), command
    assert "no" not in ended.content.split()
    assert noticed < NOTICED_S, command
    text = await shell.output('echo "$PWD" "$KEPT" "${plain-unset}"; echo $$')
    kept, fresh = text.splitlines()
    assert kept == '/tmp/last place a "b" $c unset', command
    assert fresh != pid.strip()
    assert [event.cause for event in ends_of(shell, seq)] == [cause]


def ends_of(shell: Shell, since: int) -> list[SessionEnded]:
    events = shell.runtime.events.since(since)
    mine = [e for e in events if isinstance(e, SessionEnded) and e.session == shell.session]
    return [event for event in mine if event.cause != "reset"]


async def test_strict_mode_of_an_earlier_command(shell: Shell) -> None:
    await shell.output("set -euo pipefail")
    ended = await shell.run("echo a | grep b")
    assert (ended.status, ended.exit_code) == ("session_ended", 1)
    assert (await shell.run("grep -q a /dev/null; echo $?")).content == "1\n"


async def test_a_shell_that_ends_between_commands(shell: Shell) -> None:
    events = shell.runtime.events
    seq = events.last_seq
    await shell.output("cd /tmp; (sleep 0.05; kill -9 $$) & disown")
    async for event in events.subscribe(seq):
        if isinstance(event, SessionEnded) and event.session == shell.session:
            break
    seen = await shell.run("pwd")
    assert (seen.content, seen.status) == ("/tmp\n", "completed")
    assert seen.state_lost is not None
    assert seen.state_lost.cause == "signal"
    assert (await shell.run("true")).state_lost is None


async def test_a_nested_shell_is_a_program(shell: Shell) -> None:
    pid = await shell.output("echo $$")
    assert (await shell.run("sh -c 'exit 3'")).exit_code == 3
    inner = await shell.run("sh; (exit 4)")
    assert inner.status == "waiting_for_input"
    assert (await shell.type("exit 7\n")).exit_code == 4
    assert await shell.output("echo $$") == pid


async def test_a_deleted_directory(shell: Shell) -> None:
    """The shell goes on there; its successor starts in the nearest that is left."""
    await shell.output("mkdir -p /tmp/gone-$$/a/b && cd /tmp/gone-$$/a/b && rm -r /tmp/gone-$$/a")
    assert await shell.output("echo still here") == "still here\n"
    pid = await shell.output("echo $$")
    await shell.run("exit 3")
    assert await shell.output("pwd") == f"/tmp/gone-{pid}"


async def test_variables_that_no_program_can_be_started_with(shell: Shell) -> None:
    seq = shell.runtime.events.last_seq
    await shell.run("export SMALL=1 BIG=$(head -c 3000000 /dev/zero | tr '\\0' x)")
    await shell.run("exit 3")
    assert await shell.output("echo $SMALL ${#BIG}; /bin/echo again") == "1 0\nagain\n"
    told = shell.runtime.events.since(seq)
    assert any(isinstance(e, SessionWarning) and "BIG" in e.message for e in told)


async def test_a_read_only_prompt_command_that_keeps_the_shell(shell: Shell) -> None:
    """It would eat the commands, or never let one begin."""
    for prompt in ("cat>/dev/null", "sleep 100", "read -r x"):
        await shell.output(f"cd /tmp; readonly PROMPT_COMMAND='{prompt}'")
        began = time.monotonic()
        seen = await shell.run("echo never")
        assert seen.status == "session_ended"
        assert seen.state_lost is not None
        assert seen.state_lost.cause == "broken"
        assert time.monotonic() - began < NOTICED_S
        assert await shell.output("pwd") == "/tmp\n"


@pytest.mark.engine
@pytest.mark.parametrize("image", ["debian", pytest.param("busybox", marks=pytest.mark.slow)])
async def test_a_sandbox_without_room_and_without_bash(
    request: pytest.FixtureRequest, image: str
) -> None:
    limits = {"pids_limit": 40}
    async with EventStreamRuntime(request.getfixturevalue(image), resources=limits) as runtime:
        shell = Shell(runtime, image, "full")
        await without_room_for_its_startup_files(shell)
        await full_of_its_own_jobs(shell)
        await without_its_bash(shell)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        ({"pids_limit": 2}, "as many processes run here as are allowed"),
        ({"ulimits": [{"Name": "nofile", "Soft": 256, "Hard": 256}]}, "256 files"),
    ],
    ids=["pids", "files"],
)
async def test_limits_too_low_for_any_shell(
    debian: str, limits: dict[str, Any], missing: str
) -> None:
    async with EventStreamRuntime(debian, resources=limits) as runtime:
        with pytest.raises(ShellStartFailed, match=missing) as caught:
            await runtime.run(CmdRunAction(command="true"))
        assert "higher limit" in caught.value.hint


@pytest.mark.engine
async def test_where_no_program_can_be_started_the_shell_itself_can(debian: str) -> None:
    async with EventStreamRuntime(debian, resources={"pids_limit": 3}) as runtime:
        assert await Shell(runtime, "debian", "small").output("echo on") == "on\n"


async def without_room_for_its_startup_files(shell: Shell) -> None:
    """bash would try to fork for 15 seconds, for each program that they begin."""
    await shell.output("mkdir -p ~; echo 'for n in 1 2 3 4; do sleep 1000 & done' > ~/.bashrc")
    await shell.output(
        "read n < /sys/fs/cgroup/pids.current || read n < /sys/fs/cgroup/pids/pids.current;"
        "for (( ; n < 39; n++ )); do sleep 1000 & done"
    )
    fresh = replace(shell, session="fresh")
    assert (await fresh.run("echo on")).content == "on\n"
    warnings = [e.message for e in shell.runtime.events.since(0) if isinstance(e, SessionWarning)]
    assert [text for text in warnings if "startup files" in text] == [
        "as many processes run as are allowed: going on without the startup files"
    ]
    await fresh.output(": > ~/.bashrc")
    await shell.reset()


async def full_of_its_own_jobs(shell: Shell) -> None:
    """bash that could not fork waits for the last job that it could start: for ever, here."""
    await shell.output("cd /tmp")
    seen = await shell.run("for i in {1..60}; do sleep 1000 & done; echo no", timeout_s=1)
    assert (seen.status, seen.foreground) == ("timeout", ("bash",))
    seen = await shell.interrupt()
    assert (seen.status, "no\n" in seen.content) == ("session_ended", False)
    assert seen.state_lost is not None
    assert "could not fork" in seen.state_lost.reason
    await shell.reset()
    assert await shell.output("pwd") == "/tmp\n"


async def without_its_bash(shell: Shell) -> None:
    """The image's is replaced by the bundled one; where that is gone too, it is told."""
    bash = await shell.output('mv "$BASH" /tmp/away; echo "$BASH"')
    assert (await shell.run("exit 3")).exit_code == 3
    if shell.place == "busybox":
        seen = await shell.run("echo never")
        assert (seen.status, seen.exit_code) == ("session_ended", None)
        assert seen.state_lost is not None
        assert bash.strip() in seen.state_lost.reason
        await shell.runtime.exec(["mv", "/tmp/away", bash.strip()])
    seen = await shell.run('echo "$PWD $BASH"; (exit 4)')
    assert (seen.content, seen.exit_code) == ("/tmp /opt/tether/bin/bash\n", 4)
