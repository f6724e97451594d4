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
    as_exit_code,
    describe_status,
    log,
    reset_signals,
    run_child,
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
    signals: frozenset[int],
    notice_fd: int,
) -> int:
    """Fork the keeper, which starts `argv`; return the keeper's pid.

    `signals` are blocked in the caller; those the keeper gets it passes to the entrypoint. The
    entrypoint's end is logged and written to `notice_fd` as `beside-ended pid=P exit code N`.
    The keeper ends when nothing of the entrypoint is left, with the entrypoint's exit code.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child("entrypoint's keeper", lambda: _keep(argv, env, signals, notice_fd, parent))
    return pid


def _keep(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    signals: frozenset[int],
    notice_fd: int,
    parent: int,
) -> int:
    os.setsid()
    prctl.set_name("tether-beside")
    prctl.set_subreaper()
    prctl.set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    main = os.fork()
    if main == 0:
        run_child("entrypoint", lambda: _exec(argv, env, signals))
    log(f"the image's entrypoint runs as pid {main}: {' '.join(argv)}")
    return _Keeper(main, notice_fd).run(signals)


def _exec(argv: Sequence[str], env: Mapping[str, str] | None, signals: frozenset[int]) -> int:
    os.setsid()
    reset_signals(signals)
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
        self._notice_fd = notice_fd

    def run(self, signals: frozenset[int]) -> int:
        while self._reap():
            number = signal.sigwaitinfo(signals).si_signo
            if number != signal.SIGCHLD:
                self._forward(number)
        return self._code or 0

    def _forward(self, number: int) -> None:
        if self._code is None:
            os.kill(self._main, number)  # not yet collected, so the pid is still this process
            return
        for process in descendants([os.getpid()], snapshot()):
            send(process, number)

    def _reap(self) -> bool:
        """Collect what has ended; False when there is no child left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._main_ended(status)

    def _main_ended(self, status: int) -> None:
        self._code = as_exit_code(status)
        log(f"the image's entrypoint ended: {describe_status(status)}")
        line = f"beside-ended pid={self._main} {describe_status(status)}\n"
        if not write_if_ready(self._notice_fd, line.encode()):
            log("the client could not be told that the entrypoint ended")
