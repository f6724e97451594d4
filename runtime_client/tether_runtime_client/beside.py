"""The image's own ENTRYPOINT/CMD, run beside the client under a keeper of its own.

The keeper is a forked copy of the supervisor and a sub-reaper: whatever the entrypoint starts,
double-forks or puts in a session of its own stays below the keeper. That is what lets the
supervisor end everything of a dead client and nothing of the image's.

What becomes of the entrypoint is told in lines on a pipe that the client reads:

    beside started pid=P [log=PATH]
    beside failed errno=N
    beside ended pid=P code=N | signal=N [log=PATH]
"""

from __future__ import annotations

import errno
import os
import select
import signal

from tether_runtime_client import prctl
from tether_runtime_client.bounded_log import BoundedLog
from tether_runtime_client.oom_score import raise_oom_score
from tether_runtime_client.original_environment import original_environment
from tether_runtime_client.proctree import descendants, send, snapshot
from tether_runtime_client.supervisor_io import (
    SIGNALS,
    STOP_SIGNALS,
    as_exit_code,
    describe_status,
    log,
    reset_signals_for_exec,
    run_child,
    where_possible,
    write_if_ready,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a shell answers for a command that is missing or cannot be run.
_NOT_FOUND = 127
_CANNOT_RUN = 126
_READ = 64 * 1024
_PIPE_ROUNDS = 4


class Beside:
    """What to run beside the client.

    `argv` is the image's ENTRYPOINT with its CMD. `stop_signal` is the image's STOPSIGNAL, sent in
    place of whichever asked this container to stop; None passes that on as it came. `log_path` is
    where its output goes, bounded (see `bounded_log`); None leaves it on our own streams.
    """

    __slots__ = ("argv", "log_path", "stop_signal")

    def __init__(
        self, argv: Sequence[str], stop_signal: int | None = None, log_path: str | None = None
    ) -> None:
        self.argv = argv
        self.stop_signal = stop_signal
        self.log_path = log_path


def start_beside(beside: Beside, notice_fd: int) -> int:
    """Fork the keeper, which starts the entrypoint; return the keeper's pid.

    The keeper passes on the signals that it gets. It ends with the entrypoint's exit code when
    nothing of the entrypoint is left, or when the entrypoint ended after a stop signal: like PID
    1, it then takes all with it.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child("entrypoint's keeper", lambda: _keep(beside, notice_fd, parent))
    return pid


def _keep(beside: Beside, notice_fd: int, parent: int) -> int:
    os.setsid()
    where_possible(lambda: prctl.set_name("tether-beside"))
    where_possible(prctl.set_subreaper)
    where_possible(lambda: prctl.set_parent_death_signal(signal.SIGTERM))
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    return _Keeper(beside, notice_fd).run()


class _Keeper:
    """Collects everything of the entrypoint's tree, passes on signals, keeps its output."""

    def __init__(self, beside: Beside, notice_fd: int) -> None:
        self._beside = beside
        self._notice_fd = notice_fd
        self._log = BoundedLog(beside.log_path) if beside.log_path else None
        self._main = 0
        self._failed = False
        self._code: int | None = None
        self._asked_to_stop = False
        self._output = -1
        self._poll = select.poll()

    def run(self) -> int:
        signals = _signals_to_pipe()
        self._poll.register(signals, select.POLLIN)
        self._start()
        _unblock_signals()
        while self._reap():
            for descriptor, _ in self._poll.poll():
                if descriptor == self._output:
                    self._take_output()
                else:
                    self._take_signals(os.read(signals, 4096))
        self._take_rest()
        return self._code or 0

    # The start

    def _start(self) -> None:
        output, failure, pid = _spawn(self._beside)
        number = int(os.read(failure, 16) or b"0")  # at its end once the exec was made
        os.close(failure)
        self._main = pid
        if output is not None:
            self._output = output
            os.set_blocking(output, False)
            self._poll.register(output, select.POLLIN)
        words = " ".join(self._beside.argv)
        if number:
            self._failed = True
            log(f"cannot run the image's entrypoint, {words}: {os.strerror(number)}")
            self._tell(f"beside failed errno={number}")
        else:
            log(f"the image's entrypoint runs as pid {pid}: {words}")
            self._tell(f"beside started pid={pid}{self._where()}")

    # Signals

    def _take_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number != signal.SIGCHLD:
                self._forward(number)

    def _forward(self, number: int) -> None:
        if number in STOP_SIGNALS:
            self._asked_to_stop = True
            number = self._beside.stop_signal or number
        if self._code is None:
            os.kill(self._main, number)  # not yet collected, so the pid is still this process
            return
        for process in descendants([os.getpid()], snapshot()):
            send(process, number)

    # Children

    def _reap(self) -> bool:
        """Collect what has ended; False when nothing is left to do."""
        while not (self._asked_to_stop and self._code is not None):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._main_ended(status)
        return False

    def _main_ended(self, status: int) -> None:
        self._code = as_exit_code(status)
        if self._failed:
            return
        log(f"the image's entrypoint ended: {describe_status(status)}")
        self._take_rest()
        code = os.waitstatus_to_exitcode(status)
        how = f"code={code}" if code >= 0 else f"signal={-code}"
        self._tell(f"beside ended pid={self._main} {how}{self._where()}")

    def _tell(self, notice: str) -> None:
        if not write_if_ready(self._notice_fd, f"{notice}\n".encode()):
            log(f"the client could not be told: {notice}")

    # Output

    def _where(self) -> str:
        return f" log={self._beside.log_path}" if self._beside.log_path else ""

    def _take_rest(self) -> None:
        """What is in the pipe by now: the last words of what has ended.

        No more than the pipe can hold, since others may still be writing.
        """
        for _ in range(_PIPE_ROUNDS):
            if not self._take_output():
                return

    def _take_output(self) -> bool:
        """Move a piece of output into the log; False when there is none at this moment."""
        if self._output < 0:
            return False
        try:
            data = os.read(self._output, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._poll.unregister(self._output)
            os.close(self._output)
            self._output = -1
            return False
        assert self._log is not None
        self._log.write(data)
        return True


def _signals_to_pipe() -> int:
    """Have each signal write its number; returns where to read. They stay blocked for now."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _do_nothing)
    return read_end


def _do_nothing(number: int, frame: object) -> None:
    """The number is in the pipe by now."""


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _spawn(beside: Beside) -> tuple[int | None, int, int]:
    """Fork the entrypoint: where its output comes, where an errno would, and its pid."""
    output, output_end = os.pipe() if beside.log_path else (None, None)
    failure, failure_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        run_child("entrypoint", lambda: _exec(beside.argv, output_end, failure_end))
    os.close(failure_end)
    if output_end is not None:
        os.close(output_end)
    return output, failure, pid


def _exec(argv: Sequence[str], output: int | None, failure: int) -> int:
    os.setsid()
    raise_oom_score()
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    reset_signals_for_exec()
    try:
        os.execvpe(argv[0], list(argv), original_environment(os.environ))
    except OSError as error:
        os.write(failure, str(error.errno).encode())
        return _NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN
