"""The supervisor as a plain process, which makes itself a sub-reaper in place of being PID 1."""

import errno
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client import bounded_log, session_registry
from tether_runtime_client.proctree import Process, descendants, read_process, send, snapshot
from tether_runtime_client.supervisor import CONFIG_ERROR, GAVE_UP, LEASE_EXPIRED
from tether_runtime_client.supervisor_cli import signal_number

CLIENTS = Path(__file__).with_name("supervised_clients.py")


class Supervised:
    """A supervisor with one of the clients, and what both have printed."""

    def __init__(
        self,
        client: str,
        *args: str,
        secret: bytes | None = b"s3cret\n",
        through: Sequence[str] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [*through, sys.executable, str(CLIENTS), client, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.text = ""
        assert self.process.stdin
        if secret is not None:
            self.process.stdin.write(secret)
            self.process.stdin.flush()

    @property
    def pid(self) -> int:
        return self.process.pid

    def expect(self, pattern: str, timeout_s: float = 10) -> re.Match[str]:
        """Read on until the output matches; what matched is taken out of it."""
        assert self.process.stdout
        deadline = time.monotonic() + timeout_s
        while not (match := re.search(pattern, self.text)):
            ready = select.select([self.process.stdout], [], [], deadline - time.monotonic())[0]
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"no {pattern!r} in: {self.text}"
            self.text += chunk.decode()
        self.text = self.text[: match.start()] + self.text[match.end() :]
        return match

    def ready(self) -> int:
        return int(self.expect(r"ready (\d+)\n")[1])

    def below(self) -> list[Process]:
        return descendants([self.pid], snapshot())

    def wait(self, timeout_s: float = 15) -> int:
        return self.process.wait(timeout_s)

    def close(self) -> None:
        left = self.below()
        self.process.kill()
        self.process.wait()
        for process in left:
            send(process, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


@pytest.fixture
def run() -> Iterator[type[Supervised]]:
    made: list[Supervised] = []

    class Tracked(Supervised):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    yield Tracked
    for supervised in made:
        supervised.close()


NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture
def run_as_pid_1(run: type[Supervised]) -> Callable[..., Supervised]:
    """As `run`, as the first process of a pid namespace; `pid` is the supervisor's, seen here."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0:
        pytest.skip("this place does not let us make a pid namespace")
    return lambda *args, **options: run(*args, through=NAMESPACE, **options)


def until(found: Callable[[], bool], timeout_s: float = 5) -> None:
    """Wait for what /proc alone can show."""
    deadline = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def catches_term(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = int(text.split("SigCgt:")[1].split()[0], 16)
    return bool(caught & (1 << (signal.SIGTERM - 1)))


def vanished(pids: list[int], timeout_s: float = 5) -> bool:
    """Wait until none of the processes lives."""
    deadline = time.monotonic() + timeout_s
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]
        os.close(descriptor)
        if not ended:
            return False
    return True


# The secret


def test_secret_reaches_the_client_and_no_other_eye(run: type[Supervised]) -> None:
    supervised = run("obedient")
    assert supervised.expect(r"secret (.*) and (.*)\n").groups() == ("('s3cret',)", "''")
    client = supervised.ready()
    for pid in (supervised.pid, client):
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        if os.geteuid() == 0:  # nobody else may look at all
            assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("given", [b"s3cret\n", b"s" * 64 + b" and more\n"])
def test_every_life_of_the_client_knows_what_the_one_before_it_did(
    run: type[Supervised], given: bytes
) -> None:
    supervised = run("changes_secret", secret=given)
    first, _, rest = given.decode().strip().partition(" ")
    new = "n" * 64
    for accepted in ((first,), (first, new), (new,)):
        supervised.expect(re.escape(f"secret {accepted!r} and {rest!r}\n"))


def test_processes_are_not_dumpable(run: type[Supervised]) -> None:
    supervised = run("obedient")
    client = supervised.ready()
    if os.getuid() != 0:
        pytest.skip("only root can become the other user")
    for pid in (supervised.pid, client):
        read = f"import os; os.setuid(65534); open('/proc/{pid}/environ').read()"
        assert subprocess.run([sys.executable, "-c", read], capture_output=True).returncode == 1


def test_standard_input_is_the_null_device_afterwards(run: type[Supervised]) -> None:
    supervised = run("reads_input", secret=b"s3cret\nmore\n")
    supervised.expect(r"stdin b''\n")
    assert supervised.wait() == 0


def test_secret_without_line_end(run: type[Supervised]) -> None:
    supervised = run("obedient", secret=b"abc")
    assert supervised.process.stdin
    supervised.process.stdin.close()
    supervised.expect(re.escape("secret ('abc',)"))


def test_secret_on_another_descriptor(run: type[Supervised]) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"other\n")
    command = [sys.executable, str(CLIENTS), "reads_input", "--secret-fd", str(read_end)]
    done = subprocess.run(
        command, pass_fds=[read_end], input=b"", capture_output=True, timeout=10, check=False
    )
    os.close(read_end)
    os.close(write_end)
    assert (done.returncode, done.stdout) == (0, b"stdin b''\n")


def test_secret_file_is_unlinked(run: type[Supervised], tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from a file\n")
    supervised = run("obedient", "--secret-file", str(path), secret=None)
    supervised.expect(re.escape("secret ('from',) and 'a file'"))
    assert not path.exists()


def test_secret_pipe_may_be_filled_later(run: type[Supervised], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    supervised = run("obedient", f"--secret-file={path}", secret=None)
    path.write_text("late\n")
    supervised.expect(re.escape("secret ('late',)"))
    assert path.exists()


@pytest.mark.parametrize(("secret", "why"), [(b"\n", "empty"), (b"x" * 5000, "longer than 4096")])
def test_secret_that_cannot_be_used(run: type[Supervised], secret: bytes, why: str) -> None:
    supervised = run("obedient", secret=secret)
    supervised.expect(why)
    assert supervised.wait() == CONFIG_ERROR


def test_nobody_comes_with_the_secret_in_time(run: type[Supervised]) -> None:
    supervised = run("obedient", "--secret-timeout", "0.2", secret=None)
    supervised.expect("no secret came.*within 0.2 s")
    assert supervised.wait() == LEASE_EXPIRED


@pytest.mark.parametrize("limit", ["inf", "1e9"])
def test_secret_that_is_waited_for_for_ever(
    run: type[Supervised], tmp_path: Path, limit: str
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    supervised = run("obedient", "--secret-file", str(path), "--secret-timeout", limit, secret=None)
    supervised.expect("waiting for the secret")
    path.write_text("late\n")
    supervised.expect(re.escape("secret ('late',)"))


def test_stop_while_waiting_for_the_secret(run: type[Supervised]) -> None:
    supervised = run("obedient", secret=None)
    until(lambda: catches_term(supervised.pid))
    supervised.process.terminate()
    assert supervised.wait(2) == 143


@pytest.mark.parametrize("args", [["--what", "1"], ["--grace", "soon"], ["--registry"]])
def test_command_line_that_cannot_be_read(run: type[Supervised], args: list[str]) -> None:
    supervised = run("obedient", *args)
    supervised.expect("usage: ")
    assert supervised.wait() == CONFIG_ERROR


# Reaping


def test_a_thousand_exit_codes_amid_orphan_storms(run: type[Supervised]) -> None:
    supervised = run("storm", "--", "1000")
    assert supervised.expect(r"wrong (.*)\n", 60)[1] == "[]"
    client = supervised.ready()
    until(lambda: [process.pid for process in supervised.below()] == [client])


# Ends


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGRTMIN + 3]
)
def test_stop_in_order(run: type[Supervised], number: int) -> None:
    supervised = run("obedient")
    supervised.ready()
    supervised.process.send_signal(number)
    assert supervised.wait(2) == 0


def test_commands_of_the_client_stop_nothing(run: type[Supervised]) -> None:
    supervised = run("commands_ask", "--", "sleep 0.1")
    supervised.ready()
    supervised.expect("came from a command of the sandbox: ignored")
    supervised.process.terminate()
    assert supervised.wait(2) == 0
    assert "ignored" not in supervised.text  # told once


def test_a_client_that_was_stopped_is_continued(run: type[Supervised]) -> None:
    supervised = run("stands_still")
    client = supervised.ready()
    supervised.expect("was stopped for 0.2 s: continuing it")
    os.kill(client, signal.SIGSTOP)
    os.kill(client, signal.SIGCONT)
    os.kill(client, signal.SIGSTOP)
    supervised.expect("was stopped for 0.2 s: continuing it")
    supervised.process.terminate()
    assert supervised.wait(2) == 0


def test_client_deaf_to_term_is_killed_after_the_grace(run: type[Supervised]) -> None:
    supervised = run("deaf", "--grace", "0.3")
    client = supervised.ready()
    supervised.process.terminate()
    assert supervised.wait(3) == 143
    assert vanished([client])


def test_second_stop_signal_cuts_the_grace(run: type[Supervised]) -> None:
    supervised = run("deaf", "--grace", "60")
    supervised.ready()
    supervised.process.send_signal(signal.SIGINT)
    supervised.expect("SIGINT: stopping")
    supervised.process.send_signal(signal.SIGINT)
    assert supervised.wait(3) == 130


@pytest.mark.parametrize(("client", "code"), [("lease", LEASE_EXPIRED), ("config", CONFIG_ERROR)])
def test_codes_that_end_everything(run: type[Supervised], client: str, code: int) -> None:
    supervised = run(client)
    started = int(supervised.expect(r"started (\d+)\n")[1])
    assert supervised.wait(5) == code
    assert vanished([started])


@pytest.mark.parametrize(("client", "why"), [("exits", "exit code 3"), ("raises", "exit code 1")])
def test_gives_up_after_six_deaths(run: type[Supervised], client: str, why: str) -> None:
    started = time.monotonic()
    supervised = run(client, "--", "3")
    supervised.expect(f"died 6 times within 60 s, last with {why}: giving up")
    assert supervised.wait(5) == GAVE_UP
    assert 1.5 < time.monotonic() - started < 10


def test_a_bug_in_the_client_is_shown(run: type[Supervised]) -> None:
    supervised = run("raises")
    supervised.expect("RuntimeError: a client's bug")


def test_stop_during_back_off(run: type[Supervised]) -> None:
    supervised = run("exits", "--", "3")
    supervised.expect("restart in 0.8 s")
    supervised.process.terminate()
    assert supervised.wait(0.6) == 143


def test_client_dies_with_the_supervisor(run: type[Supervised]) -> None:
    supervised = run("obedient")
    client = supervised.ready()
    supervised.process.kill()
    assert vanished([client])


# As PID 1


def test_as_pid_1_it_reaps_and_stops(run_as_pid_1: Callable[..., Supervised]) -> None:
    supervised = run_as_pid_1("storm", "--", "200")
    assert supervised.expect(r"wrong (.*)\n", 60)[1] == "[]"
    supervised.ready()
    (first,) = (process for process in supervised.below() if process.ppid == supervised.pid)
    until(lambda: len(descendants([first.pid], snapshot())) == 1)
    os.kill(first.pid, signal.SIGTERM)
    assert supervised.wait(3) == 0


def test_as_pid_1_commands_that_are_gone_stop_nothing(
    run_as_pid_1: Callable[..., Supervised],
) -> None:
    supervised = run_as_pid_1("commands_ask", "--", ":")
    supervised.ready()
    supervised.expect("came from a command of the sandbox: ignored")
    (first,) = (process for process in supervised.below() if process.ppid == supervised.pid)
    os.kill(first.pid, signal.SIGTERM)
    assert supervised.wait(2) == 0


def test_as_pid_1_it_restarts_the_client(run_as_pid_1: Callable[..., Supervised]) -> None:
    supervised = run_as_pid_1("forest")
    supervised.expect(r"planted (\d+)\n")
    until(lambda: len(supervised.below()) >= 1 + 1 + 3 * 5 + 1)
    (first,) = (process for process in supervised.below() if process.ppid == supervised.pid)
    client = min(process.pid for process in supervised.below() if process.ppid == first.pid)
    os.kill(client, signal.SIGKILL)
    supervised.expect(r"deaths \('signal 9")
    supervised.ready()
    assert len(descendants([first.pid], snapshot())) == 1


def test_as_pid_1_it_stops_while_waiting_for_the_secret(
    run_as_pid_1: Callable[..., Supervised],
) -> None:
    """PID 1 has no default handling: without handlers of its own, TERM would do nothing."""
    supervised = run_as_pid_1("obedient", secret=None)
    until(lambda: any(catches_term(process.pid) for process in supervised.below()))
    (first,) = supervised.below()
    os.kill(first.pid, signal.SIGTERM)
    assert supervised.wait(2) == 143


def test_as_pid_1_a_deaf_client_is_killed(run_as_pid_1: Callable[..., Supervised]) -> None:
    supervised = run_as_pid_1("deaf", "--grace", "0.3")
    supervised.ready()
    (first,) = (process for process in supervised.below() if process.ppid == supervised.pid)
    os.kill(first.pid, signal.SIGINT)
    assert supervised.wait(3) == 130


# Restart


@pytest.mark.parametrize("registry", [False, True])
def test_restart_ends_every_tree_of_the_dead_client(
    run: type[Supervised], tmp_path: Path, registry: bool
) -> None:
    folder = str(tmp_path / "sessions")
    supervised = run("forest", *(["--registry", folder, "--", folder] if registry else []))
    client = int(supervised.expect(r"planted (\d+)\n")[1])
    assert len(session_registry.registered(folder)) == (4 if registry else 0)
    until(lambda: len(supervised.below()) >= 1 + 3 * 5 + 1)
    planted = [process.pid for process in supervised.below()]
    os.kill(client, signal.SIGKILL)
    supervised.expect(r"died with signal 9 \(SIGKILL\)")
    assert supervised.expect(r"deaths (.*)\n")[1] == "('signal 9 (SIGKILL)',)"
    assert vanished(planted)
    assert [p.pid for p in supervised.below()] == [supervised.ready()]
    assert session_registry.registered(folder) == {}


def test_a_process_that_forks_all_the_time_is_caught(run: type[Supervised]) -> None:
    supervised = run("forker")
    os.kill(int(supervised.expect(r"planted (\d+)\n")[1]), signal.SIGKILL)
    second = supervised.ready()
    assert [process.pid for process in supervised.below()] == [second]


def test_sessions_of_a_killed_supervisor_are_ended_by_the_next(
    run: type[Supervised], tmp_path: Path
) -> None:
    folder = str(tmp_path)
    session = subprocess.Popen(["sleep", "987"], start_new_session=True)
    bystander = subprocess.Popen(["sleep", "987"], start_new_session=True)
    session_registry.register(folder, session.pid)
    session_registry.register(folder, bystander.pid)
    text = (tmp_path / str(bystander.pid)).read_text()
    (tmp_path / str(bystander.pid)).write_text("1" + text)  # of an earlier process
    try:
        run("obedient", "--registry", folder).ready()
        assert session.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None
        assert session_registry.registered(folder) == {}
    finally:
        bystander.kill()
        bystander.wait()


# Signals and the entrypoint beside


def test_other_signals_reach_the_client(run: type[Supervised]) -> None:
    supervised = run("tells_signals")
    supervised.ready()
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"):
        supervised.process.send_signal(getattr(signal, name))
        supervised.expect(f"got {name}\n")


def test_client_has_the_signal_handling_of_python(run: type[Supervised]) -> None:
    """A write to a peer that is gone must be an error, and not the end of the client."""
    supervised = run("pipes")
    supervised.expect("broken pipe\n")
    ignored = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
    supervised.expect(re.escape(f"blocked [] ignored {ignored:#x}"))


def test_entrypoint_has_the_signal_handling_of_a_program(run: type[Supervised]) -> None:
    supervised = run("obedient", *beside("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"))
    # Signals 32 and 33 are the C library's own: it passes on whatever it was started with.
    supervised.expect(r"SigBlk:\s0{7}[01][08]0{7}\nSigIgn:\s0{7}[01][08]0{7}\n")


def test_other_signals_do_no_harm_to_a_client_without_handlers(run: type[Supervised]) -> None:
    supervised = run("obedient")
    client = supervised.ready()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        supervised.process.send_signal(number)
    assert supervised.wait(2) == 0
    assert vanished([client])


def beside(*words: str) -> list[str]:
    return [part for word in words for part in ("--beside", word)]


def test_entrypoint_survives_the_client_with_all_it_daemonised(run: type[Supervised]) -> None:
    script = "(setsid sleep 987 &); echo entry $$; exec sleep 987"
    supervised = run("forest", *beside("sh", "-c", script))
    entry = read_process(int(supervised.expect(r"entry (\d+)\n")[1]))
    client = int(supervised.expect(r"planted (\d+)\n")[1])
    assert entry
    keeper = entry.ppid
    until(lambda: [name(p.pid) for p in descendants([keeper], snapshot())] == ["sleep"] * 2)
    kept = {process.pid for process in descendants([keeper], snapshot())}
    os.kill(client, signal.SIGKILL)
    second = supervised.ready()
    assert {p.pid for p in supervised.below()} == {keeper, second, *kept}
    supervised.process.terminate()
    assert supervised.wait(9) == 0
    assert vanished(list(kept))


def test_entrypoint_that_ends_is_told_and_the_client_goes_on(run: type[Supervised]) -> None:
    supervised = run("notices", *beside("sh", "-c", "exit 7"))
    told = supervised.expect(r"notice (.*)\n")[1]
    told += supervised.expect(r"notice (.*)\n")[1] if "ended" not in told else ""
    assert re.fullmatch(r".*started pid=(\d+)\\n.*beside ended pid=\1 code=7\\n'", told)
    supervised.ready()


@pytest.mark.parametrize(
    ("path", "number"), [("/no/such", errno.ENOENT), ("/etc/passwd", errno.EACCES)]
)
def test_entrypoint_that_cannot_be_run(run: type[Supervised], path: str, number: int) -> None:
    supervised = run("notices", *beside(path))
    supervised.expect(f"notice b'beside failed errno={number}\\\\n'")
    supervised.ready()


def test_entrypoint_has_a_stop_signal_of_its_own(run: type[Supervised]) -> None:
    script = "trap 'echo got winch; exit 5' WINCH; echo entry; while :; do sleep 0.01; done"
    supervised = run("obedient", "--beside-signal=SIGWINCH", *beside("sh", "-c", script))
    supervised.expect("entry\n")
    supervised.ready()
    supervised.process.terminate()
    supervised.expect("got winch\n")
    assert supervised.wait(2) == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", signal.SIGTERM),
        ("term", signal.SIGTERM),
        ("9", signal.SIGKILL),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-2", signal.SIGRTMAX - 2),
    ],
)
def test_signals_as_images_name_them(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "SIG", "NOSUCH", "0", "65", "TERM+1", "RTMIN+99", "RTMIN+"])
def test_signals_that_there_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="is no signal"):
        signal_number(text)


def test_entrypoint_s_output_is_kept_and_bounded(run: type[Supervised], tmp_path: Path) -> None:
    """All of it is read, so that it never blocks; the newest is kept, and nothing is on ours."""
    log = tmp_path / "state" / "log"
    script = "seq 1 1000000; echo the end >&2"
    supervised = run("notices", f"--beside-log={log}", *beside("sh", "-c", script))
    supervised.expect(f"beside ended pid=\\d+ code=0 log={log}")
    assert log.read_bytes().endswith(b"\n1000000\nthe end\n")
    sizes = [path.stat().st_size for path in log.parent.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= bounded_log.LIMIT
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    assert "999999" not in supervised.text


def test_entrypoint_gets_the_environment_of_the_image(run: type[Supervised]) -> None:
    script = "echo [$LD_LIBRARY_PATH] $(env | grep -c TETHER_ENV_)"
    hidden = ("env", "TETHER_ENV_LD_LIBRARY_PATH=/odd")
    supervised = run("obedient", *beside("sh", "-c", script), through=hidden)
    supervised.expect(r"\[/odd\] 0\n")


def test_entrypoint_gets_the_stop_signal_as_it_came(run: type[Supervised]) -> None:
    script = "trap 'echo got quit; exit 5' QUIT; echo entry; while :; do sleep 0.01; done"
    supervised = run("obedient", *beside("sh", "-c", script))
    supervised.expect("entry\n")
    supervised.ready()
    supervised.process.send_signal(signal.SIGQUIT)
    supervised.expect("got quit\n")
    assert supervised.wait(2) == 0


def test_children_from_before_are_spared(run: type[Supervised]) -> None:
    """An image's entrypoint script may start daemons and end in `exec` on the supervisor."""
    script = 'sleep 987 & echo before $!; exec "$@"'
    supervised = run("forest", through=("sh", "-c", script, "sh"))
    before = int(supervised.expect(r"before (\d+)\n")[1])
    os.kill(int(supervised.expect(r"planted (\d+)\n")[1]), signal.SIGKILL)
    supervised.ready()
    assert read_process(before)
    supervised.process.terminate()
    assert supervised.wait(5) == 0
    assert vanished([before])


# Cost


def test_it_is_small_and_starts_fast() -> None:
    """Resident set under 12 MB; at most 30 ms of CPU on top of Python's own start."""
    code = (
        "import sys, time; t = time.process_time()\n"
        "from tether_runtime_client.supervisor_cli import main, parse\n"
        "from tether_runtime_client import prctl\n"
        "prctl.set_not_dumpable(); parse([])\n"
        "status = open('/proc/self/status').read()\n"
        "print(time.process_time() - t, status.split('VmRSS:')[1].split()[0])\n"
        "print(*(set(sys.modules) & {'asyncio', 'subprocess', 'threading', 'logging', 're'}))"
    )
    root = str(Path(session_registry.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({root!r})\n{code}"]
    runs = [subprocess.run(command, capture_output=True, text=True).stdout for _ in range(5)]
    numbers = [[float(number) for number in run.split()[:2]] for run in runs]
    assert {run.split("\n")[1] for run in runs} == {""}
    assert max(kilobytes for _, kilobytes in numbers) < 12 * 1024
    assert min(seconds for seconds, _ in numbers) < 0.03  # the least disturbed by other work
