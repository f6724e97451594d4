"""The weak signs: what cannot be looked into, and relays whose far end is out of sight."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tether_runtime_client.shell import waiting
from tether_runtime_client.shell.blocked import Blocked, blocked_threads
from tether_runtime_client.shell.terminal import slave_device, terminal_index
from tether_runtime_client.shell.waiting import WatchedTerminal, find_wait

SETTLE = "import time; time.sleep(0.2)"


class Pair:
    """A terminal with a program on it, in a kernel session of its own."""

    def __init__(self, code: str) -> None:
        self.master, self.slave = pty.openpty()
        self.device = os.fstat(self.slave).st_rdev
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import sys\nprint('up', flush=True)\n{code}"],
            stdin=self.slave,
            stdout=self.slave,
            start_new_session=True,
        )
        assert os.read(self.master, 100).startswith(b"up")
        self.terminal = WatchedTerminal(self.device, self.slave, self.process.pid, self.process.pid)

    def settle(self) -> None:
        """Let the program come to where it waits."""
        subprocess.run([sys.executable, "-c", SETTLE], check=True)

    def set_mode(self, *, lines: bool = True, echo: bool = True) -> None:
        mode = termios.tcgetattr(self.master)
        for flag, wanted in ((termios.ICANON, lines), (termios.ECHO, echo)):
            mode[3] = mode[3] | flag if wanted else mode[3] & ~flag
        termios.tcsetattr(self.master, termios.TCSANOW, mode)
        self.settle()  # a change of mode wakes whoever waits for the terminal


def find_wait_soon(terminal: WatchedTerminal, quiet_s: float) -> str | None:
    """What it says once it says something: a program may take its time until it waits."""
    until = time.monotonic() + 20
    while (evidence := find_wait(terminal, quiet_s)) is None and time.monotonic() < until:
        time.sleep(0.02)
    return evidence


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(request.param)
    pair.settle()
    yield pair
    pair.process.kill()
    pair.process.wait()
    os.close(pair.master)
    os.close(pair.slave)


def on(code: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [code], indirect=True, ids=[""])


@on("sys.stdin.readline()")
def test_a_read_is_exact(pair: Pair) -> None:
    assert find_wait_soon(pair.terminal, 0) == "exact"


SIGNALLED = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
while True:
    os.read(0, 100)
    signal.sigwait([signal.SIGUSR1])
"""


@on(SIGNALLED)
def test_what_was_typed_ends_the_wait_at_once(pair: Pair) -> None:
    """Before the kernel has brought it, and the reader has been woken."""
    for _ in range(200):
        assert find_wait_soon(pair.terminal, 0) == "exact"
        os.write(pair.master, b"a line\n")
        assert find_wait(pair.terminal, 100) is None
        pair.process.send_signal(signal.SIGUSR1)


@on("import time; time.sleep(60)")
def test_a_sleep_is_nothing(pair: Pair) -> None:
    for lines in (True, False):
        pair.set_mode(lines=lines, echo=lines)
        assert find_wait(pair.terminal, 100) is None


ASYNCIO = (
    "import asyncio\nasync def main():\n loop = asyncio.get_running_loop()\n {}\n"
    " await loop.create_future()\nasyncio.run(main())"
)


@on(ASYNCIO.format("loop.add_reader(0, print)"))
def test_an_event_loop_s_sockets_to_itself_are_nothing(pair: Pair) -> None:
    assert find_wait_soon(pair.terminal, 0) == "exact"


@on(ASYNCIO.format("pass"))
def test_an_idle_event_loop_is_nothing(pair: Pair) -> None:
    pair.set_mode(lines=False)
    assert find_wait(pair.terminal, 100) is None


FAR = (
    "import select, socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
    "far = socket.create_connection(server.getsockname())\nselect.select([{}far], [], [])"
)


@on(FAR.format(""))
def test_a_socket_is_nothing_in_line_mode(pair: Pair) -> None:
    assert find_wait(pair.terminal, 100) is None


@on(FAR.format(""))
def test_a_socket_client_with_a_raw_terminal_is_inferred(pair: Pair) -> None:
    pair.set_mode(lines=False)
    assert find_wait(pair.terminal, 0.0) is None
    assert find_wait_soon(pair.terminal, 0.3) == "inferred"


@on(FAR.format("0, "))
def test_terminal_and_socket(pair: Pair) -> None:
    assert find_wait(pair.terminal, 0.1) is None  # the far end may be at work
    assert find_wait_soon(pair.terminal, 1.5) == "inferred"
    pair.set_mode(lines=False)
    assert find_wait(pair.terminal, 0.0) is None
    assert find_wait(pair.terminal, 0.2) == "inferred"


@on("import select\nselect.select([], [0], [], 0.01)\nselect.select([], [], [0])")
def test_waiting_for_other_than_input_is_nothing(pair: Pair) -> None:
    assert find_wait(pair.terminal, 100) is None


@on("import os, pty, select\nm, s = pty.openpty()\nselect.select([0, m], [], [])")
def test_a_relay_with_nobody_behind_it(pair: Pair) -> None:
    assert find_wait(pair.terminal, 100) is None


@on("sys.stdin.readline()")
def test_what_cannot_be_looked_into(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "blocked_threads", lambda pid: None)
    assert find_wait(pair.terminal, 1) is None
    assert find_wait(pair.terminal, 6) == "unknown"
    pair.set_mode(echo=False)
    assert find_wait(pair.terminal, 0.05) is None
    assert find_wait(pair.terminal, 0.2) == "inferred"
    pair.set_mode(lines=False)
    assert find_wait(pair.terminal, 0.2) == "inferred"


@on("while True: pass")
def test_busy_and_hidden_is_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "blocked_threads", lambda pid: None)
    pair.set_mode(lines=False, echo=False)
    assert find_wait(pair.terminal, 100) is None


def test_nobody_in_front() -> None:
    master, slave = pty.openpty()
    terminal = WatchedTerminal(os.fstat(slave).st_rdev, master, 2**22 + 1, 2**22 + 1)
    assert find_wait(terminal, 100) is None
    os.close(master)
    os.close(slave)


@on("import threading\nthreading.Thread(target=sys.stdin.readline).start()\nwhile True: pass")
def test_blocked_threads(pair: Pair) -> None:
    assert blocked_threads(pair.process.pid) == [Blocked(pair.process.pid, (0,))]
    assert blocked_threads(2**22 + 1) == []  # gone, and not hidden


@on("import select\nselect.select([0], [], [], 60)")
def test_a_long_timeout_is_a_wait(pair: Pair) -> None:
    assert find_wait_soon(pair.terminal, 0.0) == "exact"


MOMENTS = {
    "select": "import select\nwhile True: select.select([0], [], [], 0.1)",
    "poll": "import select\np = select.poll()\np.register(0, 1)\nwhile True: p.poll(100)",
    "epoll": "import select\np = select.epoll()\np.register(0, 1)\nwhile True: p.poll(0.1)",
}


@pytest.mark.parametrize("pair", MOMENTS.values(), indirect=True, ids=MOMENTS.keys())
def test_a_moment_is_a_wait_when_it_is_over(pair: Pair) -> None:
    assert {find_wait(pair.terminal, 0.05) for _ in range(20)} == {None}
    assert find_wait_soon(pair.terminal, 0.15) == "exact"


@on("import select\np = select.poll()\np.register(0, 1)\np.poll()")
def test_a_wait_that_was_stopped_is_a_wait_again(pair: Pair) -> None:
    pair.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, pair.process.pid, os.WSTOPPED)
    assert find_wait(pair.terminal, 0.0) is None
    pair.process.send_signal(signal.SIGCONT)
    pair.settle()
    assert find_wait_soon(pair.terminal, 0.0) == "exact"


@on("import time\ntime.sleep(60)")
def test_a_sleep_that_was_stopped_is_none(pair: Pair) -> None:
    pair.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, pair.process.pid, os.WSTOPPED)
    pair.process.send_signal(signal.SIGCONT)
    pair.settle()
    assert find_wait(pair.terminal, 100) is None


SELF_RELAY = """
import ctypes, fcntl, os, select, signal, termios
from os import openpty
master, slave = openpty()
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with its parent: it has itself at both ends
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    os.dup2(slave, 0)
    select.select([0, master], [], [])
select.select([0, master], [], [])
"""


@on(SELF_RELAY)
def test_a_relay_of_its_own_terminal_is_not_followed_for_ever(pair: Pair) -> None:
    assert find_wait(pair.terminal, 100) is None


RELAY = """
import os, pty, select, sys
child, master = pty.fork()
if child == 0:
    os.execv(sys.executable, [sys.executable, "-c", {!r}])
select.select([0, master], [], [])
select.select([0, master], [], [])
"""
FAR_END = FAR.format("") + "; import time; time.sleep(60)"


@on(RELAY.format(FAR_END))
def test_the_mode_of_the_terminal_behind_a_relay_is_its_own(pair: Pair) -> None:
    """The relay's own is raw; that says nothing of a server behind it."""
    pair.set_mode(lines=False)
    assert find_wait(pair.terminal, 100) is None


@on(RELAY.format("input()"))
def test_what_waits_behind_a_relay_is_hearsay(pair: Pair) -> None:
    pair.set_mode(lines=False)
    assert find_wait_soon(pair.terminal, 0) == "inferred"


@pytest.mark.parametrize(
    ("pair", "evidence"),
    [(RELAY.format("input()"), "inferred"), (RELAY.format("import time; time.sleep(60)"), None)],
    indirect=["pair"],
    ids=["waits", "sleeps"],
)
def test_a_relay_that_cannot_be_looked_into(
    pair: Pair, evidence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.set_mode(lines=False)
    real = waiting.blocked_threads
    relay = pair.process.pid
    monkeypatch.setattr(waiting, "blocked_threads", lambda pid: None if pid == relay else real(pid))
    look = find_wait if evidence is None else find_wait_soon
    assert look(pair.terminal, 1) == evidence


def test_device_numbers_of_more_terminals_than_an_old_kernel_had() -> None:
    with ExitStack() as opened:
        for _ in range(300):
            pair = os.openpty()
            for fd in pair:
                opened.callback(os.close, fd)
        index = int(os.ttyname(pair[1]).rpartition("/")[2])
        assert index >= 256
        assert slave_device(index) == os.fstat(pair[1]).st_rdev
        assert terminal_index(slave_device(index)) == index


CROWD = """
import threading
for _ in range(1500):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
threading.Thread(target=sys.stdin.readline).start()
threading.Event().wait()
"""


@on(CROWD)
def test_one_of_very_many_threads(pair: Pair) -> None:
    """Not all are looked at every time."""
    assert find_wait_soon(pair.terminal, 1) == "exact"  # the one that reads is the last to start
    began = time.monotonic()
    looks = [find_wait(pair.terminal, 1) for _ in range(30)]
    assert time.monotonic() - began < 10
    assert set(looks) == {None, "exact"}


MANY_DESCRIPTORS = """
import os, resource, select
resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
far = [os.pipe() for _ in range(5000)]
poll = select.epoll()
for read, _ in far:
    poll.register(read, 1)
poll.poll()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a higher limit of open files")
@on(MANY_DESCRIPTORS)
def test_an_event_loop_of_very_many_descriptors(pair: Pair) -> None:
    began = time.monotonic()
    assert {find_wait(pair.terminal, 1) for _ in range(10)} == {None}
    assert time.monotonic() - began < 5
