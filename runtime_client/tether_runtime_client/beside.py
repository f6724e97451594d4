"""The image's own ENTRYPOINT/CMD, run beside the client under a keeper of its own.

The keeper is a forked copy of the supervisor and a sub-reaper: whatever the entrypoint starts,
double-forks or puts in a session of its own stays below the keeper. That is what lets the
supervisor end everything of a dead client and nothing of the image's.
"""

from __future__ import annotations

import errno
import os
import signal

from tether_runtime_client import prctl
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
    from collections.abc import Mapping, Sequence

#: What a shell answers for a command that is missing or cannot be run.
_NOT_FOUND = 127
_CANNOT_RUN = 126


def start_beside(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    notice_fd: int,
) -> int:
    """Fork the keeper, which starts `argv`; return the keeper's pid.

    The keeper passes the signals that it gets to the entrypoint, whose end is logged and written
    to `notice_fd` as `beside-ended pid=P exit code N`. The keeper ends with the entrypoint's exit
    code when nothing of the entrypoint is left, or when the entrypoint ended after a stop signal:
    like PID 1, it then takes all with it.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child("entrypoint's keeper", lambda: _keep(argv, env, notice_fd, parent))
    return pid


def _keep(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    notice_fd: int,
    parent: int,
) -> int:
    os.setsid()
    where_possible(lambda: prctl.set_name("tether-beside"))
    where_possible(prctl.set_subreaper)
    where_possible(lambda: prctl.set_parent_death_signal(signal.SIGTERM))
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    main = os.fork()
    if main == 0:
        run_child("entrypoint", lambda: _exec(argv, env))
    log(f"the image's entrypoint runs as pid {main}: {' '.join(argv)}")
    return _Keeper(main, notice_fd).run()


def _exec(argv: Sequence[str], env: Mapping[str, str] | None) -> int:
    os.setsid()
    reset_signals_for_exec()
    try:
        os.execvpe(argv[0], list(argv), dict(os.environ if env is None else env))
    except OSError as error:
        log(f"cannot run the image's entrypoint {argv[0]!r}: {error.strerror}")
        return _NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN


class _Keeper:
    """Collects everything of the entrypoint's tree and passes signals to its main process."""

    def __init__(self, main: int, notice_fd: int) -> None:
        self._main = main
        self._code: int | None = None
        self._asked_to_stop = False
        self._notice_fd = notice_fd

    def run(self) -> int:
        while self._reap():
            number = signal.sigwaitinfo(SIGNALS).si_signo
            if number != signal.SIGCHLD:
                self._forward(number)
        return self._code or 0

    def _forward(self, number: int) -> None:
        if self._code is None:
            self._asked_to_stop |= number in STOP_SIGNALS
            os.kill(self._main, number)  # not yet collected, so the pid is still this process
            return
        for process in descendants([os.getpid()], snapshot()):
            send(process, number)

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
        log(f"the image's entrypoint ended: {describe_status(status)}")
        line = f"beside-ended pid={self._main} {describe_status(status)}\n"
        if not write_if_ready(self._notice_fd, line.encode()):
            log("the client could not be told that the entrypoint ended")
