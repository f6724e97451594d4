"""`tether shell` on a real pseudo-terminal."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tether_server import CmdRunAction, SyncEventStreamRuntime
from tether_server.record import SandboxRecord, list_records, load_record

from .conftest import WAIT_S, Tether, said

PROMPT = r"[$#] \Z"
Spawn = Callable[..., Any]


@pytest.fixture
def spawn(state_dir: Path) -> Iterator[Spawn]:
    """Starts `tether shell …` on a terminal of 30 by 100."""
    spawned: list[Any] = []

    def start(*arguments: str, **options: Any) -> Any:
        words = ["-m", "tether_server.cli", "shell", *arguments]
        options = {"dimensions": (30, 100), "encoding": "utf-8", "timeout": WAIT_S, **options}
        child = pexpect.spawn(sys.executable, words, **options)
        child.delaybeforesend = None
        spawned.append(child)
        return child

    yield start
    for child in spawned:
        child.close(force=True)


def ended(child: Any) -> int:
    """Its exit code, after reading all it wrote."""
    child.expect(pexpect.EOF)
    child.wait()
    assert child.signalstatus is None
    return int(child.exitstatus)


def modes(child: Any) -> list[Any]:
    """The terminal's modes, from this side."""
    return termios.tcgetattr(child.child_fd)


def test_a_session_of_a_person(spawn: Spawn) -> None:
    child = spawn("--local")
    child.expect(PROMPT)
    child.sendline("stty size; test -t 0 && test -t 1 && echo 'is a 't''erminal")
    child.expect("30 100\r\n")
    child.expect("is a terminal\r\n")
    child.sendline("exit 9")
    assert ended(child) == 9
    assert list_records() == []


def test_keys_typed_ahead_arrive(spawn: Spawn) -> None:
    child = spawn("--local")
    child.sendline("echo typed a''head")
    child.expect("typed ahead\r\n")
    child.sendline("exit")
    assert ended(child) == 0


def test_the_window_may_change_its_size(spawn: Spawn) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    child = spawn("--local", "--", "sh", "-c", script)
    child.expect("ready")
    child.setwinsize(41, 123)
    child.expect("41 123")


def test_control_keys_go_to_the_sandbox(spawn: Spawn) -> None:
    child = spawn("--local", "--", "sh", "-c", "echo ready; sleep 1000")
    child.expect("ready")
    child.sendcontrol("c")
    assert ended(child) == 130


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_of_its_own(spawn: Spawn, code: int) -> None:
    child = spawn("--local", "--", "sh", "-c", f"printf 'no newline'; exit {code}")
    child.expect("no newline")
    assert ended(child) == code


def test_a_command_that_is_not_there(spawn: Spawn) -> None:
    child = spawn("--local", "--", "no-such-program")
    child.expect("tether:.*no-such-program")
    assert ended(child) == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_after_a_signal(spawn: Spawn, number: signal.Signals) -> None:
    child = spawn("--local", "--", "sh", "-c", "echo ready; sleep 1000")
    before = modes(child)
    child.expect("ready")
    assert modes(child)[3] & termios.ICANON == 0
    child.kill(number)
    assert ended(child) == 128 + number
    assert modes(child) == before
    assert list_records() == []


def test_the_terminal_is_restored_after_an_error(
    spawn: Spawn, live: SyncEventStreamRuntime
) -> None:
    child = spawn("--attach", "live", "--", "sh", "-c", "echo ready; sleep 1000")
    before = modes(child)
    child.expect("ready")
    live.close(keep=False)
    child.expect("tether:")
    assert ended(child) == 125
    assert modes(child) == before


def test_attach_enters_a_running_sandbox(spawn: Spawn, live: SyncEventStreamRuntime) -> None:
    child = spawn("--attach", "live", "-w", "/usr", "-e", "GREETING=hello")
    child.expect(PROMPT)
    child.sendline("echo $GREETING from $PWD")
    child.expect("hello from /usr\r\n")
    assert live.run(CmdRunAction(command="echo undisturbed")).content == "undisturbed\n"
    child.sendline("exit 4")
    assert ended(child) == 4
    assert live.run(CmdRunAction(command="echo still")).content == "still\n"


def test_attach_enters_a_kept_sandbox(spawn: Spawn, kept: SandboxRecord) -> None:
    child = spawn("--attach", "kept", "--", "echo", "in")
    child.expect("in\r\n")
    assert ended(child) == 0
    assert load_record("kept") == kept


def test_options_of_a_fresh_sandbox_make_no_sense_with_attach(spawn: Spawn) -> None:
    child = spawn("--attach", "live", "--keep", "--user", "nobody")
    child.expect("--user, --keep is for a fresh sandbox")
    assert ended(child) == 125


def test_without_a_terminal_it_refuses(tether: Tether) -> None:
    done = tether("shell", "--local")
    assert done.returncode == 125
    assert "no terminal; `tether run` needs none" in said(done.stderr)


def test_keep_leaves_the_sandbox(spawn: Spawn) -> None:
    child = spawn("--local", "--keep", "--name", "kept", "--", "true")
    child.expect("tether: kept was kept")
    assert ended(child) == 0
    with SyncEventStreamRuntime.attach("kept") as runtime:
        runtime.close(keep=False)


@pytest.mark.engine
def test_in_a_container(spawn: Spawn, debian: str) -> None:
    child = spawn(debian, "--network", "none", env={**os.environ, "TERM": "vt100"})
    child.expect(PROMPT)
    child.sendline("echo $TERM; stty size; cat /etc/debian_version")
    child.expect("vt100\r\n30 100\r\n12")
    child.sendline("exit 5")
    assert ended(child) == 5
