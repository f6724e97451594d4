"""Which processes exist, who descends from whom, and how to end a whole tree of them.

Reads /proc only. Imports nothing heavy, because the supervisor does not either.
"""

from __future__ import annotations

import errno
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    #: Picks the processes to end out of a snapshot of all.
    Find = Callable[[Mapping[int, "Process"]], list["Process"]]

#: Seconds without news after which a killed tree is looked at again. News is the rule: only a
#: process that its own parent had already collected brings none.
_LOOK_AGAIN_S = 0.2
#: Something that forks faster than it is found, in ever new groups, must not keep us from killing.
_MAX_STOP_ROUNDS = 20


class Process:
    """One process as /proc/PID/stat shows it.

    `started` is in clock ticks since boot; with `pid` it names a process for good, because a pid
    alone is used again. `terminal` is the device number of the terminal that controls it, and
    `foreground` the group in front on that. `image` is the start of the stack, which changes when
    the process executes another program; 0 where that is not shown.
    """

    __slots__ = (
        *("cpu_ticks", "foreground", "group", "image", "name", "pid", "ppid", "sid", "started"),
        *("state", "terminal", "threads"),
    )

    def __init__(
        self,
        pid: int,
        state: str,
        ppid: int,
        group: int,
        sid: int,
        started: int,
        threads: int = 1,
        *,
        name: str = "",
        terminal: int = 0,
        foreground: int = -1,
        cpu_ticks: int = 0,
        image: int = 0,
    ) -> None:
        self.pid = pid
        self.state = state
        self.ppid = ppid
        self.group = group
        self.sid = sid
        self.started = started
        self.threads = threads
        self.name = name
        self.terminal = terminal
        self.foreground = foreground
        self.cpu_ticks = cpu_ticks
        self.image = image

    @property
    def alive(self) -> bool:
        """False for one that has ended and only waits to be collected.

        Where only the first thread has ended, the state says so too, and the others go on.
        """
        return self.state not in "ZX" or self.threads > 1

    @property
    def key(self) -> tuple[int, int]:
        """What tells this process from a later one with the same pid."""
        return (self.pid, self.started)

    def __repr__(self) -> str:
        return f"Process(pid={self.pid}, state={self.state!r}, ppid={self.ppid}, sid={self.sid})"


def read_process(pid: int) -> Process | None:
    """The process with that pid, or None when there is none (or /proc hides it)."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(descriptor, 4096)
    except ProcessLookupError:  # it ended between the two calls
        return None
    finally:
        os.close(descriptor)
    return _parsed(pid, data)


def _parsed(pid: int, stat: bytes) -> Process:
    begin, end = stat.index(b"("), stat.rindex(b")")  # the name may hold both signs
    fields = stat[end + 2 :].split()
    return Process(
        pid,
        state=chr(fields[0][0]),
        ppid=int(fields[1]),
        group=int(fields[2]),
        sid=int(fields[3]),
        started=int(fields[19]),
        threads=int(fields[17]),
        name=os.fsdecode(stat[begin + 1 : end]),
        terminal=_device(int(fields[4])),
        foreground=int(fields[5]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        image=int(fields[25]) if len(fields) > 25 else 0,
    )


def _device(number: int) -> int:
    """The kernel's packed device number as `os.stat` gives it."""
    number &= 0xFFFFFFFF
    return os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)


def snapshot() -> dict[int, Process]:
    """Every process this one can see, by pid."""
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return {process.pid: process for process in found if process is not None}


def descendants(
    roots: Iterable[int], processes: Mapping[int, Process], spare: Collection[int] = ()
) -> list[Process]:
    """Everything below `roots` (not the roots), without the trees whose top is in `spare`."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    waiting = list(roots)
    while waiting:
        below = [child for child in children.pop(waiting.pop(), ()) if child.pid not in spare]
        found += below
        waiting += [child.pid for child in below]
    return found


def send(process: Process, signal_number: int) -> bool:
    """Signal exactly this process; False when it is gone or may not be signalled.

    A pidfd pins the process while its start time is compared, so that a pid in use again is not
    hit. Kernels and seccomp profiles without pidfds keep a window of microseconds.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError as error:
        return error.errno in (errno.ENOSYS, errno.EPERM) and _send_by_pid(process, signal_number)
    try:
        if not _is_same(process):
            return False
        signal.pidfd_send_signal(descriptor, signal_number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _is_same(process: Process) -> bool:
    current = read_process(process.pid)
    return current is not None and current.started == process.started


def _send_by_pid(process: Process, signal_number: int) -> bool:
    try:
        if _is_same(process):
            os.kill(process.pid, signal_number)
            return True
    except (ProcessLookupError, PermissionError):
        return False
    return False


def stop_all(find: Find) -> list[Process]:
    """SIGSTOP what `find` finds until it finds nothing new, so that nothing can fork away.

    Returns what it found last.
    """
    stopped: set[tuple[int, int]] = set()
    found: list[Process] = []
    for _ in range(_MAX_STOP_ROUNDS):
        found = signal_all(find, signal.SIGSTOP)
        new = {process.key for process in found} - stopped
        if not new:
            break
        stopped |= new
    return found


def signal_all(find: Find, signal_number: int) -> list[Process]:
    """Signal everything that `find` finds, and return it.

    Process groups that lie wholly within it are signalled as such: the kernel does that in one
    step, so unlike a single process a group cannot fork away. A group's number is not used again
    while one of its processes, also one that has ended, is not collected.
    """
    processes = snapshot()
    found = {process.pid: process for process in find(processes)}
    others = {process.group for pid, process in processes.items() if pid not in found}
    for group in {process.group for process in found.values()} - others - {0}:
        try:
            os.killpg(group, signal_number)
        except (ProcessLookupError, PermissionError):
            continue
    for process in found.values():
        send(process, signal_number)
    return list(found.values())


def kill_all(find: Find) -> list[Process]:
    """Stop, then kill what `find` finds, without waiting; returns what it found."""
    stop_all(find)
    return signal_all(find, signal.SIGKILL)


def end_all(find: Find, reap: Callable[[], Collection[int]], limit_s: float) -> list[Process]:
    """Stop, then kill whatever `find` finds, in rounds, until it finds nothing, not even remains.

    The caller is the parent of all orphans below it and has SIGCHLD blocked. `reap` collects what
    has ended, without waiting, and returns the pids. Returns what outlived `limit_s` seconds
    (a process in an uninterruptible call, or of a user that we may not signal).

    What has ended but is not collected counts as found: it may be a generation of something that
    forks and exits all the time, seen too late to be signalled itself.
    """
    deadline = time.monotonic() + limit_s
    while True:
        reap()
        found = kill_all(find)
        if not found or time.monotonic() > deadline:
            return [process for process in found if process.alive]
        _await_ends({process.pid for process in found}, reap, deadline)


def _await_ends(pids: set[int], reap: Callable[[], Collection[int]], deadline: float) -> None:
    """Collect until all of `pids` were collected, nothing more comes, or the deadline."""
    while True:
        pids.difference_update(reap())
        remaining = deadline - time.monotonic()
        if not pids or remaining <= 0:
            return
        if signal.sigtimedwait({signal.SIGCHLD}, min(remaining, _LOOK_AGAIN_S)) is None:
            return
