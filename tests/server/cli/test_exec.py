"""`tether exec`: streams as they come, detached processes, terminals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from click.testing import CliRunner

from tether_server import SyncEventStreamRuntime
from tether_server.cli.main import tether as tether_group

from .conftest import TETHER, WAIT_S, StartTether, Tether, said

EVERY_BYTE = bytes(range(256)) * 3
LIVE = ("exec", "live", "--")


@pytest.fixture(autouse=True)
def _live(live: SyncEventStreamRuntime) -> None:
    """The sandbox of all these tests; another process, this one, controls it."""


def test_streams_stay_apart_and_the_exit_code_comes_through(tether: Tether) -> None:
    done = tether(*LIVE, "sh", "-c", "cat; echo err >&2; exit 7", input=EVERY_BYTE)
    assert (done.returncode, done.stdout, done.stderr) == (7, EVERY_BYTE, b"err\n")


def test_long_streams_are_whole(tether: Tether) -> None:
    data = b"".join(b"%d\n" % n for n in range(1_500_000))
    done = tether(*LIVE, "cat", input=data)
    assert done.stdout == data


def test_input_is_passed_on_as_it_comes(state_dir: object) -> None:
    words = [*TETHER, *LIVE, "cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        for n in range(3):
            one.stdin.write(b"%d\n" % n)
            assert one.stdout.readline() == b"%d\n" % n
        one.stdin.close()
        assert (one.stdout.read(), one.wait(WAIT_S)) == (b"", 0)


def test_options(tether: Tether, tmp_path: Path) -> None:
    done = tether(
        *("exec", "live", "-n", "-e", "A=b c", "-w", str(tmp_path), "-u", "0:12345"),
        *("--umask", "027", "--nice", "5", "--id", "with-options"),
        *("--", "sh", "-c", "echo $A $PWD; id -g; umask; cut -d' ' -f19 /proc/self/stat; cat"),
        input=b"not passed on",
    )
    assert said(done.stdout) == f"b c {tmp_path}\n12345\n0027\n5\n"
    again = tether("exec", "live", "--attach", "with-options", input=b"")
    assert (again.returncode, again.stdout) == (0, b"")
    done = tether("exec", "live", "--group", "12345", "--timeout", "0.2", "--", "sleep", "1000")
    assert done.returncode == 128 + signal.SIGKILL
    assert "killed: it had not ended after its time" in said(done.stderr)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("live", "--", "no-such-program"), 127, "no program 'no-such-program'"),
        (("live", "-w", "/none", "--", "true"), 125, "cannot be entered"),
        (("live", "ls", "-la"), 125, "requires an argument. Put -- before the command"),
        (("live", "ls"), 125, "unexpected extra argument (ls). Put -- before the command"),
        (("live", "-l", "--", "true"), 125, "one of -- CMD, --list, --attach and --kill"),
        (("live", "-t", "--", "true"), 125, "no terminal"),
        (("live", "-a", "zzz"), 125, "no process has an id that begins with 'zzz'"),
        (("live", "-a", ""), 125, "no process has an id that begins with ''"),
        (("live", "-t", "-a", "zzz"), 125, "--tty is for a CMD that starts, not with --attach"),
        (("live", "-d", "-a", "zzz"), 125, "--detach is for a CMD that starts"),
        (
            ("live", "-u", "1", "-w", "/", "-a", "z"),
            125,
            "--workdir, --user is for a CMD that starts",
        ),
        (("live", "-s", "TERM", "--", "true"), 125, "--signal goes with --kill"),
        (("live", "-k", "zzz", "-s", "NONE"), 125, "no signal 'NONE'"),
        (("live", "--umask", "9", "--", "true"), 125, "'9' is no mask"),
        (("live", "--timeout", "inf", "--", "true"), 125, "'inf' is no number of seconds"),
        (("live", "--umask", "1777", "--", "true"), 125, "'1777' is no mask"),
    ],
)
def test_what_cannot_be(tether: Tether, words: tuple[str, ...], code: int, message: str) -> None:
    done = tether("exec", *words)
    assert done.returncode == code
    assert message in said(done.stderr)


def test_a_signal_is_passed_on(start_tether: StartTether) -> None:
    script = "trap 'echo caught; exit 4' INT; echo on; while :; do sleep .1; done"
    process = start_tether(*LIVE, "sh", "-c", script)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (4, b"caught\n")


def test_a_reader_that_leaves_ends_it(
    start_tether: StartTether, live: SyncEventStreamRuntime
) -> None:
    process = start_tether(*LIVE, "yes")
    assert process.stdout is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(WAIT_S) == 141
    (one,) = live.processes()
    assert one.exit_code == 128 + signal.SIGKILL


def test_a_detached_one_goes_on_and_is_found(tether: Tether) -> None:
    done = tether("exec", "live", "-d", "--", "sh", "-c", "seq 1 100000; sleep 0.5; exit 6")
    id = said(done.stdout).strip()
    listed = said(tether("exec", "live", "--list").stdout).splitlines()
    assert listed[0].split() == ["ID", "PID", "STATE", "AGE", "OUTPUT", "COMMAND"]
    assert listed[1].startswith(f"{id}  ")
    assert "sh -c 'seq 1 100000; sleep 0.5; exit 6'" in listed[1]
    for _ in range(2):  # while it runs, and when it has ended
        seen = tether("exec", "live", "--attach", id[:8])
        assert (seen.returncode, len(seen.stdout.split())) == (6, 100_000)
    assert "ended 6" in said(tether("exec", "live", "-l").stdout)


def test_leaving_a_detached_one_leaves_it_running(
    tether: Tether, start_tether: StartTether, live: SyncEventStreamRuntime
) -> None:
    id = said(tether("exec", "live", "-d", "--", "sh", "-c", "echo on; sleep 1000").stdout).strip()
    process = start_tether("exec", "live", "-a", id)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said(err)) == (
        130,
        f"tether: left running: tether exec live --attach {id}\n",
    )
    found = live.process(id)
    assert found.exit_code is None
    assert tether("exec", "live", "--kill", id[:8], "--signal", "KILL").returncode == 0
    assert found.wait(WAIT_S) == 137
    done = tether("exec", "live", "--kill", id)
    assert done.returncode == 125
    assert "is running" in said(done.stderr)


@pytest.mark.parametrize("option", ["--attach", "-a", "--kill"])
def test_ids_are_completed(live: SyncEventStreamRuntime, option: str) -> None:
    live.spawn(["true"], id="one")
    live.spawn(["true"], id="other")
    environment = {
        "_TETHER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"tether exec live {option} on",
        "COMP_CWORD": "4",
    }
    done = CliRunner().invoke(tether_group, prog_name="tether", env=environment)
    assert done.output == "plain,one\n"
    environment["COMP_WORDS"] = f"tether exec dead {option} on"
    assert CliRunner().invoke(tether_group, prog_name="tether", env=environment).output == "\n"


# --- on a terminal


Spawn = Callable[..., Any]


@pytest.fixture
def spawn(state_dir: Path) -> Iterator[Spawn]:
    """Starts `tether exec live …` on a terminal of 30 by 100."""
    spawned: list[Any] = []

    def start(*arguments: str) -> Any:
        words = ["-m", "tether_server.cli", "exec", "live", *arguments]
        child = pexpect.spawn(
            sys.executable, words, dimensions=(30, 100), encoding="utf-8", timeout=WAIT_S
        )
        child.delaybeforesend = None
        spawned.append(child)
        return child

    yield start
    for child in spawned:
        child.close(force=True)


def test_a_terminal(spawn: Spawn) -> None:
    child = spawn("-t", "-e", "A=b", "--", "sh", "-c", "stty size; echo $A; read x; exit $x")
    child.expect("30 100\r\nb\r\n")
    child.sendline("9")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 9


def test_a_terminal_survives_its_connection(spawn: Spawn, live: SyncEventStreamRuntime) -> None:
    child = spawn("-t", "--", "sh", "-c", "echo on; read x; echo got $x")
    child.expect("on\r\n")
    (one,) = live.processes()
    with live.process(one.id) as taken:  # as `screen -d -r`: there is one screen
        child.expect("another caller has taken")
        child.expect(pexpect.EOF)
        taken.stdin.write(b"it\n")
        assert b"got it" in taken.stdout.read()


def test_a_detached_terminal_is_found(spawn: Spawn, tether: Tether) -> None:
    script = "read x; stty size; echo got $x; exit 3"
    id = said(tether("exec", "live", "-d", "-t", "--", "sh", "-c", script).stdout).strip()
    child = spawn("-a", id)
    child.sendline("it")
    child.expect("30 100\r\ngot it\r\n")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 3
