"""Processes without a terminal, over SSH and over Tether."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time

import pytest

from .conftest import BEYOND_SSH
from .doors import Door


@pytest.mark.parametrize("code", [0, 1, 126, 127, 255])
async def test_an_exit_code_is_told(door: Door, code: int) -> None:
    assert (await door.run(f"exit {code}")).exit_code == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "USR1"])
async def test_a_death_by_signal_is_told(door: Door, name: str) -> None:
    done = await door.run(f"kill -{name} $$; sleep 10")
    assert (done.exit_code, done.signal) == (None, name)


async def test_what_there_is_no_program_for_is_127(door: Door) -> None:
    done = await door.run("no-such-program")
    assert done.exit_code == 127
    assert b"not found" in done.stderr


async def test_standard_input_is_exact_and_ends(door: Door) -> None:
    data = os.urandom(1_000_003)
    done = await door.run("cat; echo end >&2", stdin=data)
    assert (done.stdout, done.stderr, done.exit_code) == (data, b"end\n", 0)


async def test_without_input_a_reader_sees_the_end(door: Door) -> None:
    assert (await door.run("cat; read line; echo $?")).stdout == b"1\n"


async def test_input_that_nobody_reads_does_no_harm(door: Door) -> None:
    done = await door.run("exit 3", stdin=b"x" * 1_000_000)
    assert done.exit_code == 3


async def test_output_and_errors_stay_apart_and_exact(door: Door) -> None:
    data = bytes(range(256)) * 100
    done = await door.run("tee /dev/stderr", stdin=data)
    assert (done.stdout, done.stderr) == (data, data)


async def test_much_output_is_whole(door: Door) -> None:
    command = "yes 0123456789abcde | head -c 20000000; yes ABCDEFG | head -c 5000000 >&2"
    done = await door.run(command)
    assert _digest(done.stdout) == _digest(b"0123456789abcde\n" * 1_250_000)
    assert _digest(done.stderr) == _digest(b"ABCDEFG\n" * 625_000)


async def test_there_is_no_terminal(door: Door) -> None:
    done = await door.run("test -t 0 || test -t 1 || test -t 2; echo $?")
    assert done.stdout == b"1\n"


async def test_variables_are_exact(door: Door) -> None:
    value = "a \"quoted\" $HOME `x` 'y' \\ \t ünï\nsecond line"
    done = await door.run('printf %s "$PARITY"', env={"PARITY": value})
    assert done.stdout.decode() == value


async def test_the_usual_environment_is_there(door: Door) -> None:
    assert await door.output('test -n "$HOME" && test -n "$PATH" && echo yes') == "yes\n"
    assert await door.output("id -u") == f"{os.geteuid() if door.name in ('ssh', 'local') else 0}\n"


async def test_a_script_of_many_lines_and_quotes(door: Door) -> None:
    script = "\n".join(
        [
            "f() { printf '%s|' \"$@\"; }",
            "for i in 1 2 3; do",
            '  f "it\'s $i" \'and "that"\' # a comment',
            "done",
            "cat <<'EOF'",
            "$no `no` \\no",
            "EOF",
            "(exit 4) || echo was $?",
        ]
    )
    shown = "".join(f'it\'s {i}|and "that"|' for i in (1, 2, 3)) + "$no `no` \\no\nwas 4\n"
    assert await door.output(script) == shown


async def test_a_command_of_100_kilobytes(door: Door) -> None:
    text = "x" * 100_000
    assert await door.output(f"printf %s {text} | wc -c | tr -d ' '") == "100000\n"


async def test_many_at_once(door: Door) -> None:
    began = time.monotonic()
    outputs = await asyncio.gather(*(door.output(f"sleep 1; echo {i}") for i in range(20)))
    assert outputs == [f"{i}\n" for i in range(20)]
    assert time.monotonic() - began < 15


async def test_output_comes_while_a_process_runs(door: Door) -> None:
    async with door.start("echo first; sleep 1; echo second; exit 6") as running:
        assert await running.line() == b"first\n"
        began = time.monotonic()
        done = await running.done()
    assert time.monotonic() - began > 0.5
    assert (done.stdout, done.exit_code) == (b"first\nsecond\n", 6)


@BEYOND_SSH  # a server refuses it for root's processes
@pytest.mark.parametrize("name", ["TERM", "KILL"])
async def test_a_running_process_gets_a_signal(door: Door, name: str) -> None:
    async with door.start("echo up; exec sleep 1000") as running:
        assert await running.line() == b"up\n"
        await running.signal(name)
        done = await running.done()
    assert (done.exit_code, done.signal) == (None, name)


@BEYOND_SSH
async def test_a_signal_can_be_handled(door: Door) -> None:
    command = "trap 'echo caught; exit 5' USR1; echo up; while :; do sleep 0.05; done"
    async with door.start(command) as running:
        assert await running.line() == b"up\n"
        await running.signal("USR1")
        done = await running.done()
    assert (done.stdout, done.exit_code) == (b"up\ncaught\n", 5)


async def test_what_runs_on_in_the_background_holds_nothing_up(door: Door) -> None:
    began = time.monotonic()
    assert await door.output("sleep 20 >/dev/null 2>&1 </dev/null & echo started") == "started\n"
    assert time.monotonic() - began < 10


def _digest(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()
