"""`tether run`: exact streams, exit codes, and nothing left however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tether_server.cli.start_options import environment
from tether_server.record import SandboxRecord, list_records, load_record

from .conftest import StartTether, Tether, end_sandboxes, said

LOCAL = ("run", "--local", "--")
EVERY_BYTE = bytes(range(256)) * 3


def test_streams_stay_apart_and_the_exit_code_comes_through(tether: Tether) -> None:
    done = tether(*LOCAL, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_bytes_are_exact_both_ways(tether: Tether) -> None:
    done = tether(*LOCAL, "cat", input=EVERY_BYTE)
    assert (done.returncode, done.stdout) == (0, EVERY_BYTE)


def test_long_output_is_whole(tether: Tether) -> None:
    done = tether(*LOCAL, "sh", "-c", "seq 1 1000000; seq 1 1000 >&2")
    assert done.stdout == b"".join(b"%d\n" % n for n in range(1, 1_000_001))
    assert done.stderr == b"".join(b"%d\n" % n for n in range(1, 1001))


def test_standard_input_of_any_length(tether: Tether) -> None:
    assert tether(*LOCAL, "wc", "-c", input=b"x" * 20_000_000).stdout == b"20000000\n"


def test_standard_input_can_be_left_alone(tether: Tether) -> None:
    assert tether("run", "--local", "-n", "--", "cat", input=b"x").stdout == b""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
        (("sh", "-c", "kill -KILL $$"), 128 + signal.SIGKILL),
        (("sh", "-c", "exit 125"), 125),
    ],
)
def test_exit_codes(tether: Tether, command: tuple[str, ...], code: int) -> None:
    assert tether(*LOCAL, *command).returncode == code


def test_options_of_the_sandbox(tether: Tether, tmp_path: Path) -> None:
    done = tether(
        *("run", "--local", "-e", "A=a=b", "-e", "PASSED", "-e", "ABSENT", "-w", str(tmp_path)),
        *("--", "sh", "-c", "echo $A $PASSED ${ABSENT-absent} $PWD"),
        env={**os.environ, "PASSED": "on"},
    )
    assert said(done.stdout) == f"a=b on absent {tmp_path}\n"


def test_a_start_that_takes_too_long(tether: Tether) -> None:
    done = tether("run", "--local", "--start-timeout", "0.001", "--", "true")
    assert done.returncode == 125
    assert "no answer within 0.001 s" in said(done.stderr)


def test_options_may_stand_behind_the_image(tether: Tether) -> None:
    done = tether("run", "some-image", "--local", "--", "true")
    assert done.returncode == 125
    assert "'some-image' was given" in said(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--", "true"), "an image is missing"),
        (("--local",), "no command to run"),
        (("--local", "--name", "A B", "--", "true"), "no usable name"),
        (("--local", "--env", "=x", "--", "true"), "no variable"),
        (("--local", "--user", "nobody", "--", "true"), "has no user"),
        (("--local", "--memory", "1g", "--", "true"), "has no resources"),
        (("an-image", "--resource", "x", "--", "true"), "NAME=VALUE"),
        (("an-image", "--resource", "x=1", "--", "true"), "no resource 'x'"),
        (("an-image", "--cpus", "0", "--", "true"), "'--cpus'"),
        (("an-image", "--transport", "dial=foo", "--", "true"), "dial=HOST:PORT"),
        (("an-image", "--transport", "ssh=a b/c", "--", "true"), "ssh=[USER@]HOST[:PORT]"),
        (("--local", "-w", "/no/such", "--", "true"), "leave --workdir out"),
        (("an-image", "--start-timeout", "0", "--", "true"), "'--start-timeout'"),
    ],
)
def test_what_cannot_be_is_said(tether: Tether, arguments: tuple[str, ...], message: str) -> None:
    done = tether("run", *arguments)
    assert done.returncode == 125
    assert message in said(done.stderr)


@pytest.mark.parametrize("words", [("ls",), ("ls", "--color"), ("ls", "-l", "/")])
def test_a_command_without_dashes(tether: Tether, words: tuple[str, ...]) -> None:
    done = tether("run", "some-image", *words)
    assert done.returncode == 125
    assert "Put -- before the command" in said(done.stderr)


def test_nothing_is_left_of_a_run_without_a_name(tether: Tether, state_dir: Path) -> None:
    assert tether(*LOCAL, "true").returncode == 0
    assert list((state_dir / "sandboxes").iterdir()) == []


def test_a_name_keeps_the_history_and_keep_the_sandbox(tether: Tether, state_dir: Path) -> None:
    assert tether("run", "--local", "--name", "named", "--", "true").stderr == b""
    assert (state_dir / "sandboxes" / "named" / "history.sqlite3").exists()
    assert list_records() == []
    done = tether("run", "--local", "--name", "stays", "--keep", "--", "true")
    assert said(done.stderr) == "tether: stays was kept\n"
    assert load_record("stays").keep
    end_sandboxes()


def test_in_a_sandbox_that_is_there(tether: Tether, kept: SandboxRecord, tmp_path: Path) -> None:
    done = tether(
        *("run", "--attach", "kept", "-e", "A=b", "-w", str(tmp_path), "--"),
        *("sh", "-c", "echo $A $PWD; cat; exit 3"),
        input=EVERY_BYTE,
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout == f"b {tmp_path}\n".encode() + EVERY_BYTE
    assert tether("run", "--attach", "kept", "--", "true").returncode == 0
    assert Path(f"/proc/{kept.handle['pid']}").exists()


def test_what_an_attached_run_cannot_have(tether: Tether, kept: SandboxRecord) -> None:
    done = tether("run", "--attach", "kept", "--keep", "--user", "me", "--", "true")
    assert done.returncode == 125
    assert "--user, --keep is for a fresh sandbox" in said(done.stderr)
    done = tether("run", "--attach", "nobody", "--", "true")
    assert "no sandbox named 'nobody'" in said(done.stderr)
    assert "tether run --attach kept -- CMD" in said(tether("shell", "--attach", "kept").stderr)


# --- early ends


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_sandbox(
    start_tether: StartTether, state_dir: Path, number: signal.Signals
) -> None:
    process = start_tether(*LOCAL, "sh", "-c", "echo $$; exec sleep 1000")
    pid = int(first_line(process))
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert not Path(f"/proc/{pid}").exists()
    assert list_records() == []


def test_the_command_may_clean_up(start_tether: StartTether) -> None:
    process = start_tether(
        *LOCAL, "bash", "-c", "trap 'echo cleaned; exit 3' INT; echo on; while :; do sleep .1; done"
    )
    first_line(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, b"cleaned\n")


@pytest.mark.parametrize(("then", "code"), [("exit 0", 0), ("kill -KILL $$", 137)])
def test_the_command_says_how_it_ended(start_tether: StartTether, then: str, code: int) -> None:
    script = f"trap '{then}' INT; echo on; while :; do sleep .1; done"
    process = start_tether(*LOCAL, "bash", "-c", script)
    first_line(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == code


def test_a_second_signal_does_not_wait_for_the_command(start_tether: StartTether) -> None:
    script = "trap 'echo got it' INT; echo $$; while :; do sleep .1; done"
    process = start_tether(*LOCAL, "sh", "-c", script)
    pid = int(first_line(process))
    process.send_signal(signal.SIGINT)
    assert first_line(process) == b"got it\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, said(errors)[:20]) == (130, "tether: cleaning up;")
    assert not Path(f"/proc/{pid}").exists()


def test_a_signal_that_was_ignored_stays_ignored(start_tether: StartTether, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start_tether(*LOCAL, "sh", "-c", f"echo on; cat {fifo}")
    finally:
        signal.signal(signal.SIGINT, before)
    first_line(process)
    process.send_signal(signal.SIGINT)
    fifo.write_text("done\n")
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n")


def test_a_reader_that_leaves_ends_it(start_tether: StartTether) -> None:
    process = start_tether(*LOCAL, "yes")
    assert first_line(process) == b"y\n"
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert list_records() == []


def test_a_slow_reader_does_not_keep_it_from_ending(start_tether: StartTether) -> None:
    process = start_tether(*LOCAL, "sh", "-c", "seq 1 1000000; exec sleep 1000")
    first_line(process)  # and no more: the pipe fills up
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert list_records() == []


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "1")
    monkeypatch.delenv("NOT_HERE", raising=False)
    assert environment(("A=", "B=b", "HERE", "NOT_HERE")) == {"A": "", "B": "b", "HERE": "1"}


# --- in containers


@pytest.mark.engine
def test_in_a_container(tether: Tether, debian: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    tmp_path.chmod(0o755)
    done = tether(
        *("run", debian, "--quiet", "--user", "1000:1000", "--mount", f"{tmp_path}:/data:ro"),
        *("--network", "none", "--workdir", "/tmp", "--"),
        *("sh", "-c", "id -u; pwd; cat /data/file; ls /sys/class/net; cat; exit 9"),
        input=EVERY_BYTE,
    )
    assert done.stderr == b""
    assert done.stdout == b"1000\n/tmp\nfrom the host\nlo\n" + EVERY_BYTE
    assert done.returncode == 9


@pytest.mark.engine
def test_limits_of_a_container(tether: Tether, debian: str) -> None:
    shown = (
        "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes;"
        "cat pids.max pids/pids.max;"
        "cut -d' ' -f1 cpu.max cpu/cpu.cfs_quota_us; df -k --output=size /dev/shm | tail -n 1"
    )
    done = tether(
        *("run", debian, "-q", "-m", "256m", "--cpus", "0.5", "--pids-limit", "200"),
        *("--resource", "shm_size=16m", "--start-timeout", "50", "--", "sh", "-c", shown),
    )
    assert done.stdout.split() == [b"268435456", b"200", b"50000", b"16384"]


@pytest.mark.engine
def test_a_signal_removes_the_container(
    start_tether: StartTether, debian: str, state_dir: Path
) -> None:
    process = start_tether(
        "run",
        debian,
        "--name",
        state_dir.parent.name[-20:].lower().strip("_.-"),
        "--",
        "sh",
        "-c",
        "echo on; sleep 1000",
    )
    first_line(process)
    (record,) = list_records()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    inspected = subprocess.run(
        ["docker", "inspect", record.handle["container"]], capture_output=True
    )
    assert inspected.returncode == 1


@pytest.mark.engine
def test_an_image_that_is_not_there(tether: Tether, engine: str) -> None:
    done = tether("run", "tether-test/there-is-no-such-image:at-all", "--", "true")
    assert done.returncode == 125
    assert "there-is-no-such-image" in said(done.stderr)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("given", ["smoke", "dial=x", "ssh=a b/c", "tcp=1.2.3.4:5"])
def test_a_transport_that_there_is_not(tether: Tether, given: str) -> None:
    done = tether("run", "--local", "--transport", given, "--", "true")
    assert done.returncode == 125
    assert b"--transport" in done.stderr


def test_a_transport_that_the_local_backend_has_not(tether: Tether) -> None:
    done = tether("run", "--local", "--transport", "dial=127.0.0.1:1", "--", "true")
    assert done.returncode == 125
    assert b"transport 'dial'" in done.stderr
