"""Interrupts end commands, whatever they are, and corrupt nothing when they race an end."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tether_runtime_client.shell import NoForeground
from tether_runtime_client.shell.processes import children

from ...races import racing, what_is_left
from .conftest import Driver

ENDED = {
    "child": "sleep 60\necho no",
    "child in a list": "sleep 60; echo no",
    "builtin loop": "while :; do :; done\necho no",
    "loop of children": "for i in 1 2 3; do sleep 20; echo no; done\necho no",
    "function": "f() { sleep 60; echo no; }; f; echo no\necho no",
    "pipeline": "sleep 60 | cat\necho no",
    "builtin read": "read x\necho no",
    "subshell": "(sleep 60; echo no)\necho no",
    "substitution": "x=$(sleep 60); echo no\necho no",
    "condition": "if sleep 60; then echo no; else echo no; fi\necho no",
    "and-or": "sleep 60 && echo no\necho no",
    "wait": "sleep 60 & wait; echo no",
    "here-document": "cat <<EOF | sleep 60\nx\nEOF\necho no",
    "stty without keys": "stty intr undef -isig; sleep 60; echo no",
    "raw terminal": "stty raw; sleep 60; echo no",
    "busy child": "yes >/dev/null\necho no",
    "flood": "yes\necho no",
    "without job control": "set +m; sleep 60; echo no",
    "stopped child": "bash -c 'kill -STOP $$' ; sleep 60; echo no",
}


@pytest.mark.parametrize("command", ENDED.values(), ids=ENDED.keys())
async def test_interrupt(shell: Driver, command: str) -> None:
    pid = shell.session.pid
    started = shell.start(command)
    await asyncio.sleep(0.15)
    began = time.monotonic()
    shell.session.interrupt()
    result = await started.result()
    assert time.monotonic() - began < 1
    assert (result.end.reason, result.code) == ("interrupted", 130)
    assert b"no\n" not in result.output.replace(b"Done", b"")
    assert await shell.say("echo next") == "next\n"
    assert shell.session.pid == pid


async def test_a_handled_interrupt_lets_the_command_go_on(shell: Driver) -> None:
    started = shell.start(
        "trap 'echo caught' INT; while [ -z \"$x\" ]; do read -t 5 x; done; echo $x"
    )
    await started.waits()
    shell.session.interrupt()
    await started.output.until(b"caught")
    await shell.type("done\n")
    assert (await started.result()).text.endswith("done\n")


async def test_an_ignored_interrupt(shell: Driver) -> None:
    started = shell.start("bash -c 'trap \"\" INT; echo on; sleep 60'")
    await started.output.until(b"on\n")
    shell.session.interrupt()
    await asyncio.sleep(0.2)
    assert not started.command.done.done()
    shell.session.interrupt("SIGKILL")
    result = await started.result()
    assert (result.end.reason, result.code) == ("interrupted", 137)
    assert await shell.say("echo next") == "next\n"


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGQUIT", 131), ("SIGHUP", 129)])
async def test_other_signals(shell: Driver, name: str, code: int) -> None:
    started = shell.start("sleep 60")
    await asyncio.sleep(0.1)
    shell.session.interrupt(name)
    result = await started.result()
    assert (result.end.reason, result.code) == ("interrupted", code)
    with pytest.raises(ValueError, match="SIGNONSENSE"):
        shell.session.interrupt("SIGNONSENSE")


async def test_killing_a_builtin_loop_kills_the_shell(shell: Driver) -> None:
    started = shell.start("trap '' INT; while :; do :; done")
    await asyncio.sleep(0.1)
    shell.session.interrupt()
    await asyncio.sleep(0.1)
    shell.session.interrupt("SIGKILL")
    result = await started.result()
    assert (result.end.reason, result.code) == ("session_ended", 137)
    assert await shell.say("echo next") == "next\n"


async def test_a_command_whose_shell_was_killed_is_not_run_again(shell: Driver) -> None:
    for command in ("while :; do :; done", "x=$(sleep 60)", "read x"):
        started = shell.start(f"echo x >>ran; {command}")
        await asyncio.sleep(0.1)
        shell.session.interrupt("SIGKILL")
        assert (await started.result()).end.reason == "session_ended"
        assert await shell.say("cat ran; rm ran") == "x\n"


HANDLED = "bash -c 'trap \"exit 3\" INT TERM QUIT; echo on; while :; do sleep 0.01; done'"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGQUIT", "SIGKILL"])
@pytest.mark.parametrize("rest", ["\necho no", "; echo no", " || echo no", " | cat; echo no"])
async def test_what_is_behind_does_not_run(shell: Driver, name: str, rest: str) -> None:
    """However the program that got the signal ends; the status is its own."""
    started = shell.start(f"set -o pipefail; {HANDLED}{rest}")
    await started.output.until(b"on\n")
    shell.session.interrupt(name)
    result = await started.result()
    assert result.code in (3, 137, 143, 131, 130)
    assert b"no\n" not in result.output
    assert await shell.say("echo next") == "next\n"


async def test_a_key_leaves_it_to_the_shell(shell: Driver) -> None:
    started = shell.start(f"{HANDLED}; echo and on")
    await started.output.until(b"on\n")
    shell.session.send_key("C-c")
    assert (await started.result()).text.endswith("and on\n")


async def test_many_interrupts_at_once(shell: Driver) -> None:
    started = shell.start("bash -c 'trap \"\" INT; echo on; sleep 0.5'; echo after")
    await started.output.until(b"on\n")
    for _ in range(200):
        shell.session.interrupt()
    await started.result()
    for number in range(20):
        assert await shell.say(f"echo {number}") == f"{number}\n"


async def test_thousand_interrupts_racing_ends(shell: Driver) -> None:
    """No lost byte, no lost status, no lost shell."""
    chance = random.Random(11)
    pid = shell.session.pid
    interrupted = 0
    for number in range(10_000):
        if interrupted == 1000:
            break
        started = shell.start(racing(number))
        for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
            await asyncio.sleep(0)
        if chance.random() < 0.7:
            await asyncio.sleep(chance.random() * 0.002)
        if not started.command.done.done():
            shell.session.interrupt()
            interrupted += 1
        result = await started.result()
        assert result.end.reason in ("completed", "interrupted")
        what_is_left(number, result.text)
        assert await shell.say(f"echo ={number}") == f"={number}\n"
    assert interrupted == 1000
    assert shell.session.pid == pid
    assert shell.listener.lost == []
    assert bytes(shell.listener.output).strip() == b""
    assert shell.listener.warnings == []


STARTING = [
    "/bin/true; /bin/true; {nap}",
    "{nap}",
    "/bin/true; {nap} | cat",
    "/bin/true; ({nap}; :)",
    "/bin/true; (/bin/true; {nap})",
    "/bin/true | /bin/true; x=$({nap}); :",
    "f() {{ /bin/true; {nap}; }}; f; :",
    "for i in 1 2 3 4 5 6; do /bin/true; done; {nap}",
    "/bin/true & /bin/true; {nap}",
]


async def test_interrupts_while_programs_start_are_heard_and_leave_none(shell: Driver) -> None:
    """bash alone, or a fork that will forget it, gets the signal then: one in fifteen was lost."""
    chance = random.Random(3)
    nap = f"sleep 987.{os.getpid()}"
    pid = shell.session.pid
    for number in range(20 * len(STARTING)):
        command = STARTING[number % len(STARTING)].format(nap=nap)
        started = shell.start(command)
        await asyncio.sleep(chance.uniform(0.0005, 0.006))
        shell.session.interrupt()
        result = await started.result()
        assert (result.end.reason, result.code) == ("interrupted", 130), command
        await gone(nap)
    assert shell.session.pid == pid


async def gone(command: str) -> None:
    """Wait until no process has this command line: a signal ends it a moment later."""
    async with asyncio.timeout(5):
        while running(command):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("set_up", [":", "set +m"], ids=["job control", "no job control"])
async def test_interrupts_end_loops_of_short_programs(shell: Driver, set_up: str) -> None:
    """What a program that ends by itself has left of a signal, bash ignores without job control."""
    chance = random.Random(4)
    await shell.run(set_up)
    for body in ("/bin/true", "(/bin/true)", "/bin/true | /bin/true", "x=$(/bin/true)") * 15:
        started = shell.start(f"while :; do {body}; done")
        await asyncio.sleep(chance.uniform(0.003, 0.02))
        shell.session.interrupt()
        result = await started.result()
        assert (result.end.reason, result.code) == ("interrupted", 130), body


@pytest.mark.parametrize("command", ["sleep 60", "sleep 60 | cat", "(sleep 60; :)"])
async def test_a_program_that_is_just_starting_can_be_stopped_by_a_key(
    shell: Driver, command: str
) -> None:
    chance = random.Random(6)
    for _ in range(40):
        started = shell.start(command)
        await asyncio.sleep(chance.uniform(0.0005, 0.006))
        shell.session.send_key("C-z")
        assert (await started.result()).code == 148
        await shell.run("kill -9 %%; wait %%")


@pytest.mark.parametrize("sourced", [False, True])
async def test_what_a_trap_runs_is_not_interrupted(
    shell: Driver, tmp_path: Path, sourced: bool
) -> None:
    traps = "trap '/bin/sleep 0.3 && echo tidied' INT"
    (tmp_path / "set").write_text(traps)
    await shell.run(f". {tmp_path}/set" if sourced else traps)
    started = shell.start("/bin/true; sleep 60; :")
    await asyncio.sleep(0.1)
    shell.session.interrupt()
    assert (await started.result()).text.strip() == "tidied"


async def test_a_job_that_was_just_begun_is_left_alone(shell: Driver) -> None:
    nap = f"sleep 986.{os.getpid()}"
    for _ in range(20):
        started = shell.start(f"{nap} & x=1; while :; do :; done")
        async with asyncio.timeout(5):
            while not children(shell.session.pid):
                await asyncio.sleep(0)
        shell.session.interrupt()
        assert (await started.result()).code == 130
        assert (await shell.run("sleep 0.05; kill %% && wait %%")).code == 143


async def test_interrupts_while_its_line_is_read_end_a_command_as_later_ones_do(
    shell: Driver,
) -> None:
    """bash forgets what it has read of a line then, and would run the rest."""
    chance = random.Random(5)
    text = f"echo first; {'echo 0 >&2; ' * 2000}echo last"
    whole = ["first", *["0"] * 2000, "last"]
    for number in range(300):
        started = shell.start(text)
        await asyncio.sleep(chance.random() * 0.001)
        with suppress(NoForeground):  # on a busy machine it has ended by now
            shell.session.interrupt()
        result = await started.result()
        lines = result.text.split("\n")[:-1]
        assert lines == whole[: len(lines)]
        assert (result.end.reason, result.code) in (("interrupted", 130), ("completed", 0))
        assert await shell.say(f"echo ={number}") == f"={number}\n"


async def test_an_interrupt_waits_until_the_line_was_read(shell: Driver) -> None:
    bash = shell.session.pid
    os.kill(bash, signal.SIGSTOP)
    started = shell.start("sleep 60")
    shell.session.interrupt()
    pending = Path(f"/proc/{bash}/status").read_text()
    os.kill(bash, signal.SIGCONT)
    assert not int(re.findall(r"ShdPnd:\s+(\w+)", pending)[0], 16) & 1 << signal.SIGINT - 1
    result = await started.result()
    assert (result.end.reason, result.code) == ("interrupted", 130)
    assert await shell.say("echo next") == "next\n"


async def test_interrupts_after_the_end_are_refused_and_harmless(shell: Driver) -> None:
    await shell.say("true")
    with pytest.raises(NoForeground):
        shell.session.interrupt()
    assert await shell.say("echo next") == "next\n"


async def test_reset_ends_everything(shell: Driver) -> None:
    nap = f"sleep 1000.{os.getpid()}"
    await shell.say(f"cd / && export KEPT=1; {nap} & disown; setsid {nap} &")
    await shell.say(f"(setsid {nap} &) ; nohup {nap} >/dev/null 2>&1 & ")
    await shell.say(f"bash -c 'trap \"\" HUP TERM INT; {nap}; {nap}' & sleep 0.1")
    started = shell.start("trap '' INT HUP TERM; while :; do :; done")
    await asyncio.sleep(0.1)
    assert len(running(nap)) >= 4
    began = time.monotonic()
    lost = await shell.session.reset()
    assert time.monotonic() - began < 3
    assert lost.reason
    assert (await started.result()).end.reason == "session_ended"
    assert running(nap) == []
    result = await shell.run("echo $PWD $KEPT")
    assert result.text == "/ 1\n"
    assert result.end.state_lost is None


def running(command: str) -> list[int]:
    """The processes with exactly this command line."""
    wanted = command.encode().replace(b" ", b"\0") + b"\0"
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _line(pid) == wanted]


def _line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_reset_while_a_shell_is_replaced(shell: Driver) -> None:
    await shell.run("exit 1")
    queued = shell.start("echo queued")
    await shell.session.reset()
    assert (await queued.result()).end.reason in ("completed", "session_ended")
    assert await shell.say("echo next") == "next\n"


async def test_reset_of_a_flood(shell: Driver) -> None:
    started = shell.start("yes | cat")
    await started.output.until(b"y\n" * 10_000)
    began = time.monotonic()
    await shell.session.reset()
    assert time.monotonic() - began < 3
    assert await shell.say("echo next") == "next\n"


async def test_reset_of_a_fork_storm(shell: Driver) -> None:
    nap = f"sleep 1001.{os.getpid()}"
    shell.start(f"f() {{ for i in {{1..500}}; do sleep 0.01; (setsid {nap} &); done; }}; f")
    await asyncio.sleep(0.5)
    assert running(nap)
    began = time.monotonic()
    await shell.session.reset()
    assert time.monotonic() - began < 3
    assert running(nap) == []


@pytest.mark.parametrize(
    "command", ["kill -INT $$; echo no", "bash -c 'kill -INT $$'\necho no", "kill -INT 0; echo no"]
)
async def test_interrupts_from_within(shell: Driver, command: str) -> None:
    pid = shell.session.pid
    result = await shell.run(command)
    assert (result.end.reason, result.code) == ("interrupted", 130)
    assert "no" not in result.text
    assert await shell.say("echo next") == "next\n"
    assert shell.session.pid == pid
