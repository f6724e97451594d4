"""Which commands leave the shell as it is, and that it is asked no more than their end then."""

from __future__ import annotations

import subprocess

import pytest

from tether_runtime_client.shell.inert import inert_program, programs

from .conftest import BASH, Driver


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("true", "true"),
        (" ls -la /usr/lib\n", "ls"),
        ("/usr/bin/make -j4 CC=gcc all", "/usr/bin/make"),
        ("./a.out", "./a.out"),
        ("git log --format=oneline -3", "git"),
        ("echo a,b", "echo"),
        ("cd /", None),
        ("X=1", None),
        ("X=1 env", None),
        (". x", None),
        ("source x", None),
        ("export X", None),
        ("time ls", None),
        ("ls; cd /", None),
        ("ls\ncd /", None),
        ("ls $X", None),
        ("ls `x`", None),
        ("ls | cat", None),
        ("ls > x", None),
        ("ls &", None),
        ("%1", None),
        ("printf -v X 1", None),
        ("read X", None),
        ("'cd' /", None),
        ("true\r", None),
        ("", None),
        ("# ls", None),
    ],
)
def test_what_the_text_tells(text: str, program: str | None) -> None:
    assert inert_program(text) == program


def test_no_other_builtin_or_keyword_of_this_bash_is_a_program() -> None:
    told = subprocess.run([BASH, "-c", "compgen -bk"], capture_output=True, text=True, check=True)
    names = told.stdout.split()
    assert {"cd", "export", "if"} <= set(names)
    harmless = {":", "echo", "false", "test", "true"}
    assert {name for name in names if inert_program(name) is not None} <= harmless


def test_what_stands_in_for_a_program() -> None:
    told = b"one\ntwo 3 file of it\nalias three='x\nalias four=4'\nalias -- -five='y'\n"
    asked = (b"one", b"two", b"three", b"four", b"-five", b"six")
    assert programs(asked, told) == {b"six"}
    assert programs(asked, b"") == set(asked)
    assert programs(asked, b"alias a='b'\ntrap -- '' SIGUSR1\n") == frozenset()


async def test_what_a_command_changed_is_kept_after_ones_that_change_nothing(shell: Driver) -> None:
    await shell.say("export KEPT=1; cd /usr")
    for _ in range(3):
        await shell.say("true")
        await shell.say("ls /usr")
    await shell.session.settle()
    assert shell.session.exported["KEPT"] == "1"
    assert (await shell.run("kill -9 $$")).end.state_lost is not None
    assert await shell.say("echo $KEPT $PWD") == "1 /usr\n"


INTERCEPTED = {
    "function": "ls() { export SET=$1; }",
    "exported function": "ls() { export SET=$1; }; export -f ls",
    "alias": "alias ls='export SET=yes #'",
    "trap on a signal": "ls() { :; }; unset -f ls; trap 'export SET=yes' USR1",
    "trap on every command": "trap 'export SET=yes' DEBUG",
    "file of functions": "echo 'ls() { export SET=$1; }' >functions; . ./functions",
}


@pytest.mark.parametrize("setup", INTERCEPTED.values(), ids=INTERCEPTED.keys())
async def test_what_stands_in_for_a_program_may_change_the_shell(shell: Driver, setup: str) -> None:
    for _ in range(3):
        await shell.say("ls /usr")
        await shell.session.settle()
    await shell.say(setup)
    for _ in range(3):
        await shell.run("ls yes")
        await shell.session.settle()
    if "USR1" in setup:
        await shell.run("sh -c 'kill -USR1 $PPID'")
        await shell.run("true")
        await shell.session.settle()
    assert shell.session.exported["SET"] == "yes"


async def test_its_status_and_flags_are_told(shell: Driver) -> None:
    await shell.say("true")
    assert (await shell.run("false")).code == 1
    assert (await shell.run("no-such-program-of-this-name")).code == 127
    assert await shell.say("true") == ""
    assert (await shell.run("false")).code == 1
    assert await shell.say('echo "$? $_"') == "1 false\n"
    assert (await shell.run("set -e")).code == 0
    assert (await shell.run("false")).end.state_lost is not None
