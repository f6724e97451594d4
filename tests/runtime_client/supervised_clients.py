"""Clients for the supervisor's tests: `python supervised_clients.py NAME OPTIONS...`.

Each is what `supervise` runs in its forked child. Not collected by pytest.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tether_runtime_client import session_registry, supervisor
from tether_runtime_client.kept_secret import KeptSecret
from tether_runtime_client.supervisor import CONFIG_ERROR, LEASE_EXPIRED, Handover
from tether_runtime_client.supervisor_cli import main
from tether_runtime_client.supervisor_io import STOP_CLIENT


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def wait_for_stop() -> None:
    signal.signal(STOP_CLIENT, lambda number, frame: sys.exit(0))
    say(f"ready {os.getpid()}")
    while True:
        signal.pause()


def obedient(handover: Handover, args: list[str]) -> int:
    kept = KeptSecret(handover.secret_fd)
    say(f"secret {kept.accepted!r} and {kept.rest!r}")
    wait_for_stop()
    return 1


def changes_secret(handover: Handover, args: list[str]) -> int:
    """Is killed at one of the moments of a change; then another one tells what it was given."""
    kept = KeptSecret(handover.secret_fd)
    say(f"secret {kept.accepted!r} and {kept.rest!r}")
    if not handover.deaths:
        kept.begin("n" * 64)
    elif len(handover.deaths) == 1:
        kept.finish()
    else:
        wait_for_stop()
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


def reads_input(handover: Handover, args: list[str]) -> int:
    say(f"stdin {os.read(0, 100)!r}")
    return 0


def commands_ask(handover: Handover, args: list[str]) -> int:
    """What it starts asks both to stop, and is gone or still there when that is heard."""
    script = f"for n in TERM INT QUIT; do kill -$n {os.getppid()} {os.getpid()}; done; {args[0]}"
    subprocess.run(["sh", "-c", script])
    wait_for_stop()
    return 1


def stands_still(handover: Handover, args: list[str]) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    wait_for_stop()
    return 1


def deaf(handover: Handover, args: list[str]) -> int:
    signal.signal(STOP_CLIENT, signal.SIG_IGN)
    say(f"ready {os.getpid()}")
    while True:
        signal.pause()


def exits(handover: Handover, args: list[str]) -> int:
    return int(args[0])


def lease(handover: Handover, args: list[str]) -> int:
    say(f"started {subprocess.Popen(['sleep', '987'], start_new_session=True).pid}")
    return LEASE_EXPIRED


def config(handover: Handover, args: list[str]) -> int:
    say(f"started {subprocess.Popen(['sleep', '987']).pid}")
    raise SystemExit(CONFIG_ERROR)


def raises(handover: Handover, args: list[str]) -> int:
    raise RuntimeError("a client's bug")


def pipes(handover: Handover, args: list[str]) -> int:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        os.write(write_end, b"x")
    except BrokenPipeError:
        say("broken pipe")
    # Signals 32 and 33 are the C library's own: it passes on whatever it was started with.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - {32, 33}
    ignored = Path("/proc/self/status").read_text().split("SigIgn:")[1].split()[0]
    say(f"blocked {sorted(blocked)} ignored {int(ignored, 16) & ~(0b11 << 31):#x}")
    return 0


def tells_signals(handover: Handover, args: list[str]) -> int:
    def told(number: int, frame: object) -> None:
        say(f"got {signal.Signals(number).name}")

    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        signal.signal(number, told)
    wait_for_stop()
    return 1


def notices(handover: Handover, args: list[str]) -> int:
    while True:
        notice = os.read(handover.notice_fd, 4096)
        say(f"notice {notice!r}")
        if b"beside started" not in notice or b"ended" in notice:
            wait_for_stop()


def forest(handover: Handover, args: list[str]) -> int:
    """The first life plants trees of every awkward kind and dies; the second only waits."""
    if handover.deaths:
        say(f"deaths {handover.deaths}")
        wait_for_stop()
    shell = (
        "trap '' TERM HUP INT; sleep 987 & setsid sleep 987 & "
        "(setsid sh -c 'trap \"\" TERM; sleep 987 & exec sleep 987' &) ; wait"
    )
    children = [subprocess.Popen(["sh", "-c", shell], start_new_session=True) for _ in range(3)]
    children.append(subprocess.Popen(["sleep", "987"]))
    for child in children:
        if args:
            session_registry.register(args[0], child.pid)
    say(f"planted {os.getpid()}")
    signal.pause()
    return 1


def forker(handover: Handover, args: list[str]) -> int:
    """Leaves a process that forks and exits all the time, so its pid never stays."""
    if handover.deaths:
        wait_for_stop()
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            time.sleep(0.0005)
    say(f"planted {os.getpid()}")
    signal.pause()
    return 1


def storm(handover: Handover, args: list[str]) -> int:
    """Known exit codes, one half each by fork and by subprocess, amid dying orphans."""
    chance = random.Random(7)
    wrong = []
    for start in range(0, int(args[0]), 50):
        running = []
        for number in range(start, start + 50):
            code = chance.randrange(256)
            orphans(1 + number % 2)
            running.append((start_known(number, code), code))
        wrong += [(got, code) for wait, code in running if (got := wait()) != code]
    say(f"wrong {wrong}")
    wait_for_stop()
    return 1


def start_known(number, code):
    if number % 2:
        return subprocess.Popen(["sh", "-c", f"exit {code}"]).wait
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def orphans(count: int) -> None:
    middle = os.fork()
    if middle == 0:
        for number in range(count):
            if os.fork() == 0:
                os._exit(number)
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) == 99


if __name__ == "__main__":
    if sys.argv[1] == "stands_still":
        supervisor._STOPPED_LIMIT_S = 0.2
    sys.exit(main(sys.argv[2:], globals()[sys.argv[1]]))
