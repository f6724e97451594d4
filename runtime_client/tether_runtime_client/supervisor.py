"""The small process that starts the client, outlives it and collects what others leave: PID 1.

It imports nothing heavy and never runs a loop of asyncio. Only it collects orphans, and it
collects only orphans and its own children: the client's children are the client's to wait for.

Signals: TERM, INT, QUIT and RTMIN+3 (all used as a container's stop signal) stop everything in
order: the client gets a signal of its own, the image's entrypoint the one that came, both get the
grace period, then whatever is left is killed. A second one cuts the grace short. HUP, USR1, USR2
and WINCH are passed to both. A stop signal that the client's commands send is ignored, since
`kill -TERM -1` and `pkill -f python` in a session mean what runs there.

Exit codes: see the constants `STOPPED` to `CONFIG_ERROR`; 128+n when signal n asked for the end
and the client had to be killed for it, or was not running.
"""

from __future__ import annotations

import os
import signal
import time

from tether_runtime_client import prctl, session_registry
from tether_runtime_client.beside import Beside, start_beside
from tether_runtime_client.kept_secret import keep_secret
from tether_runtime_client.proctree import (
    Process,
    descendants,
    end_all,
    kill_all,
    read_process,
    snapshot,
)
from tether_runtime_client.supervisor_io import (
    PASSED_ON,
    SIGNALS,
    STOP_CLIENT,
    STOP_SIGNALS,
    as_exit_code,
    describe_status,
    log,
    reset_signals,
    reset_signals_for_exec,
    run_child,
    signal_name,
    where_possible,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

#: The client ended because it was asked to, and wrote down what it had.
STOPPED = 0
#: The client died too often (EX_SOFTWARE).
GAVE_UP = 70
#: No server was there for the length of the lease, or came with the secret (EX_TEMPFAIL).
LEASE_EXPIRED = 75
#: The settings or the secret cannot work; starting again would not help (EX_CONFIG).
CONFIG_ERROR = 78

_FINAL_CODES = (STOPPED, LEASE_EXPIRED, CONFIG_ERROR)

#: More deaths than this within the window, and the supervisor gives up.
_MAX_DEATHS = 5
_DEATH_WINDOW_S = 60.0
#: Waits before the first to fifth restart.
_BACK_OFF_S = (0.0, 0.1, 0.2, 0.4, 0.8)
#: Docker kills a container 10 s after asking it to stop: be done before.
DEFAULT_GRACE_S = 8.0
#: How long the client may be stopped: `kill -STOP -1` of a command would keep it so for good.
_STOPPED_LIMIT_S = 5.0
#: How long killed processes may take to vanish before they are reported and left.
_KILL_LIMIT_S = 5.0


class Handover:
    """What a client gets from the supervisor that starts it.

    `secret_fd`: a file in memory with the secret (see `kept_secret`). `notice_fd`: a pipe on which
    the supervisor writes lines about the image's entrypoint (see `beside`). `deaths`: how the
    clients before this one ended, oldest first.
    """

    __slots__ = ("deaths", "notice_fd", "secret_fd")

    def __init__(self, secret_fd: int, notice_fd: int, deaths: tuple[str, ...]) -> None:
        self.secret_fd = secret_fd
        self.notice_fd = notice_fd
        self.deaths = deaths


def supervise(
    start_client: Callable[[Handover], int] | Sequence[str],
    secret: bytes,
    *,
    beside: Beside | None = None,
    registry: str | None = None,
    grace_s: float = DEFAULT_GRACE_S,
) -> int:
    """Run the client until it is told to stop or cannot go on; return the code to exit with.

    `start_client` is called in a forked child and its result is the child's exit code: no exec,
    because the fork starts 10 ms sooner and shares the interpreter's memory with this process,
    and because the child stays non-dumpable, which an exec would undo. A sequence is run instead,
    with `--secret-fd N --notice-fd N` appended.

    `beside` is the image's own entrypoint, started first and once. `registry` is the folder in
    which the client registers its sessions (see `session_registry`).

    Changes this process for good (signal mask, sub-reaper, dumpable) and collects every child it
    has or inherits, so nothing else may run in it.
    """
    return _Supervisor(start_client, secret, registry, grace_s).run(beside)


class _Supervisor:
    def __init__(
        self,
        start_client: Callable[[Handover], int] | Sequence[str],
        secret: bytes,
        registry: str | None,
        grace_s: float,
    ) -> None:
        self._start = start_client
        self._secret_fd = keep_secret(secret)
        self._registry = registry
        self._grace_s = grace_s
        self._client = 0
        self._keeper = 0
        self._spare: set[int] = set()
        self._deaths: list[tuple[float, str]] = []
        self._restart_at: float | None = None
        self._kill_at: float | None = None
        self._continue_at: float | None = None
        self._code: int | None = None
        self._notices = os.pipe()
        self._was_asked_from_below = False

    def run(self, beside: Beside | None) -> int:
        _prepare_process()
        self._end_earlier_life()
        # An entrypoint that ended in `exec` on us may have left children of its own: not ours.
        self._spare = {process.pid for process in self._children(snapshot())}
        if beside is not None:
            self._keeper = start_beside(beside, self._notices[1])
        self._start_client()
        while not self._is_over():
            self._step()
        self._end_all("the end", spare=())
        assert self._code is not None
        return self._code

    def _is_over(self) -> bool:
        if self._code is None:
            return False
        gone = not self._client and not self._keeper
        return gone or (self._kill_at is not None and time.monotonic() >= self._kill_at)

    def _step(self) -> None:
        """Wait for one signal, or for the time when something is due, and act on it."""
        times = (self._restart_at, self._kill_at, self._continue_at)
        due = [at for at in times if at is not None]
        if due:
            info = signal.sigtimedwait(SIGNALS, max(0.0, min(due) - time.monotonic()))
        else:
            info = signal.sigwaitinfo(SIGNALS)
        if info is None:
            self._on_due()
        elif info.si_signo == signal.SIGCHLD:
            self._reap()
        elif info.si_signo in STOP_SIGNALS and self._is_from_below(info.si_pid):
            self._refuse(info.si_signo)
        else:
            self._on_signal(info.si_signo)

    def _on_due(self) -> None:
        if self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._restart_at = None
            self._start_client()
        if self._continue_at is not None and time.monotonic() >= self._continue_at:
            self._continue_at = None
            log(f"the client was stopped for {_STOPPED_LIMIT_S:g} s: continuing it")
            os.kill(self._client, signal.SIGCONT)

    # Signals

    def _is_from_below(self, sender: int) -> bool:
        """Whether a command of the client's sent it. The sender is 0 where it is outside of ours.

        It may have ended by now, as `pkill` has: for PID 1 only commands are likely to be that.
        """
        process = read_process(sender)
        if process is None:
            return sender != 0 and os.getpid() == 1
        while process is not None and process.pid != self._client:
            process = read_process(process.ppid)
        return process is not None

    def _refuse(self, number: int) -> None:
        if not self._was_asked_from_below:  # told once: it may come without end
            log(f"{signal_name(number)} came from a command of the sandbox: ignored")
        self._was_asked_from_below = True

    def _on_signal(self, number: int) -> None:
        if number in PASSED_ON:
            self._signal_children(number, number)
        elif self._code is not None:
            log(f"{signal_name(number)} again: not waiting any longer")
            self._kill_at = time.monotonic()
        else:
            log(f"{signal_name(number)}: stopping")
            self._begin_end(128 + number, beside_signal=number)

    def _begin_end(self, code: int, beside_signal: int = signal.SIGTERM) -> None:
        """Ask what runs to end, within the grace period; `code` holds unless the client ends well.

        The client knows one stop signal, whichever came.
        """
        self._code = code
        self._restart_at = None
        self._kill_at = time.monotonic() + self._grace_s
        self._signal_children(STOP_CLIENT, beside_signal)

    def _signal_children(self, client_signal: int, beside_signal: int) -> None:
        """Only this process collects them, so a pid it has not collected is still the same."""
        if self._client:
            os.kill(self._client, client_signal)
        if self._keeper:
            os.kill(self._keeper, beside_signal)

    # Children

    def _reap(self) -> set[int]:
        """Collect everything that has ended, without waiting, and see whether the client stands."""
        collected: set[int] = set()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return collected
            if pid == 0:
                return collected
            if pid == self._client:
                stopped = os.WIFSTOPPED(status)
                self._continue_at = time.monotonic() + _STOPPED_LIMIT_S if stopped else None
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                collected.add(pid)
                self._collected(pid, status)

    def _collected(self, pid: int, status: int) -> None:
        self._spare.discard(pid)
        if pid == self._client:
            self._client = 0
            self._client_ended(status)
        elif pid == self._keeper:
            self._keeper = 0

    def _client_ended(self, status: int) -> None:
        code = as_exit_code(status)
        if self._code is not None:
            self._code = code if code in _FINAL_CODES else self._code
        elif code in _FINAL_CODES:
            log(f"the client ended with exit code {code}: ending everything")
            self._begin_end(code)
        else:
            self._client_died(describe_status(status))

    def _client_died(self, how: str) -> None:
        now = time.monotonic()
        self._deaths = [*self._deaths[-_MAX_DEATHS:], (now, how)]
        recent = sum(now - at < _DEATH_WINDOW_S for at, _ in self._deaths)
        if recent > _MAX_DEATHS:
            log(
                f"the client died {recent} times within {_DEATH_WINDOW_S:g} s, last with {how}: "
                "giving up; its own messages above say why"
            )
            self._begin_end(GAVE_UP)
            return
        wait_s = _BACK_OFF_S[recent - 1]
        log(f"the client died with {how}: ending what it had started, restart in {wait_s:g} s")
        self._end_all("the client's death", spare=(self._keeper, *self._spare))
        self._restart_at = now + wait_s

    def _start_client(self) -> None:
        deaths = tuple(how for _, how in self._deaths)
        handover = Handover(self._secret_fd, self._notices[0], deaths)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(self._notices[1])
            run_child("client", lambda: _run_client(self._start, handover, parent))
        self._client = pid
        log(f"the client runs as pid {pid}")

    # Ending what is left

    def _children(self, processes: dict[int, Process]) -> list[Process]:
        own = os.getpid()
        return [process for process in processes.values() if process.ppid == own]

    def _end_all(self, why: str, spare: tuple[int, ...]) -> None:
        """Kill everything below this process, and registered, but the trees of `spare`."""
        leaders = session_registry.registered(self._registry) if self._registry else {}

        def find(processes: Mapping[int, Process]) -> list[Process]:
            return _find(processes, [os.getpid()], leaders, spare)

        left = end_all(find, self._reap, _KILL_LIMIT_S)
        if left:
            pids = " ".join(str(process.pid) for process in left)
            log(f"processes that could not be ended at {why}: {pids}")
        if self._registry is not None:
            session_registry.clear(self._registry)

    def _end_earlier_life(self) -> None:
        """Kill sessions that a supervisor killed outright has left running."""
        if self._registry is None:
            return
        leaders = session_registry.registered(self._registry)
        if leaders:
            log(f"ending {len(leaders)} sessions that an earlier supervisor left")
            # Whoever is their parent now collects them: nothing to wait for.
            kill_all(lambda processes: _find(processes, [], leaders, ()))
        session_registry.clear(self._registry)


def _find(
    processes: Mapping[int, Process],
    roots: Collection[int],
    leaders: Mapping[int, int],
    spare: Collection[int],
) -> list[Process]:
    """What is below `roots` outside `spare`, and the sessions of `leaders` with all below them.

    Sessions matter where this process could not become a sub-reaper, or was not there.
    """
    found = descendants(roots, processes, spare)
    members = session_registry.members(leaders, processes)
    below = descendants([process.pid for process in members], processes, spare)
    by_pid = {process.pid: process for process in (*found, *members, *below)}
    by_pid.pop(os.getpid(), None)
    return list(by_pid.values())


def _prepare_process() -> None:
    # An ignored SIGCHLD, inherited through exec, would have the kernel collect every child.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Blocked signals wait for sigwaitinfo, also in PID 1, where an unhandled one would be dropped.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    where_possible(prctl.set_not_dumpable)
    # `pkill python3` in a session means the image's programs.
    where_possible(lambda: prctl.set_name("tether-super"))
    if os.getpid() != 1:
        where_possible(prctl.set_subreaper)


def _run_client(
    start: Callable[[Handover], int] | Sequence[str], handover: Handover, parent: int
) -> int:
    os.setsid()  # a terminal's C-c reaches the supervisor alone, which passes it on in order
    where_possible(lambda: prctl.set_parent_death_signal(STOP_CLIENT))
    reset_signals()
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    for number in (*PASSED_ON, *STOP_SIGNALS):
        # Harmless until the client asks for them; unlike an ignored signal, gone after an exec.
        signal.signal(number, _do_nothing)
    if callable(start):
        where_possible(lambda: prctl.set_name("tether-client"))
        return start(handover)
    return _exec_client(start, handover)


def _do_nothing(number: int, frame: object) -> None:
    """A handler for signals that must not end the client."""


def _exec_client(argv: Sequence[str], handover: Handover) -> int:
    reset_signals_for_exec()
    for descriptor in (handover.secret_fd, handover.notice_fd):
        os.set_inheritable(descriptor, True)
    descriptors = (f"--secret-fd={handover.secret_fd}", f"--notice-fd={handover.notice_fd}")
    try:
        os.execvp(argv[0], [*argv, *descriptors])
    except OSError as error:
        log(f"cannot run the client {argv[0]!r}: {error.strerror}")
        return CONFIG_ERROR
