"""Does something wait for input on this terminal? Answered from /proc, by looking once.

Exact: a thread of a process in front is blocked in a read, poll, select or epoll that names the
terminal. A program that computes, sleeps, or waits for a socket, a child or a file is not
waiting; nor is one that gives the terminal a moment to answer, as editors do when they leave,
until the moment is over. Relays (script, sudo with its own terminal, tmux, ssh) always watch the
terminal; for them the terminal behind is asked where it can be seen, and the answer is `inferred`.
"""

from __future__ import annotations

import os
import stat
import termios
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..proctree import Process
from .blocked import Blocked, blocked_threads
from .command import WaitEvidence
from .processes import family, in_front
from .terminal import has_unread, slave_device, terminal_index

_DEV_TTY = os.makedev(5, 0)
_DEV_PTMX = os.makedev(5, 2)
_NETWORK_QUIET_S = 1.0  # a relay in line mode may be busy at its far end
_RELAY_QUIET_S = 0.15
_HIDDEN_QUIET_S = 0.1
_UNKNOWN_QUIET_S = 5.0
_PATIENCE_S = 0.05  # of work, for one look at very many processes
_MOST_DESCRIPTORS = 1000  # of a process that is looked for pairs of sockets
_DEEPEST = 4  # relays behind relays; a program can make itself one of its own terminal
_MOMENT_S = 0.2  # a longer timeout is of a program that does something now and then
_AGAIN_S = 0.03  # after the moment: then it waits for input again and again


@dataclass(frozen=True, slots=True)
class WatchedTerminal:
    """A terminal: its device number, a descriptor of the programs' end (or -1), who has it.

    `depth` is of how many relays it is behind.
    """

    device: int
    fd: int
    shell: int
    group: int
    depth: int = 0


def find_wait(terminal: WatchedTerminal, quiet_s: float) -> WaitEvidence | None:
    """How certain it is that a program waits for input now; None when none is seen to.

    `quiet_s` is how long there has been neither output nor input: weak signs need longer.
    """
    if terminal.fd >= 0 and has_unread(terminal.fd):  # who sleeps in a read is about to be woken
        return None
    # One that is stopped stands in its read, and reads nothing.
    members = [m for m in in_front(terminal.shell, terminal.group) if m.state not in "Tt"]
    until = time.thread_time() + _PATIENCE_S
    found: set[WaitEvidence | None] = set()
    hidden: list[Process] = []
    for member in reversed(members):  # what asks is mostly the last that was started
        if time.thread_time() > until:
            return None
        blocked = blocked_threads(member.pid)
        if blocked is None:
            hidden.append(member)
            continue
        found |= {_judge(member, thread, terminal, quiet_s) for thread in blocked}
        if "exact" in found:
            return "exact"
    if "inferred" in found:
        return "inferred"
    return _hidden(members, hidden, terminal, quiet_s) if hidden else None


def _judge(
    process: Process, thread: Blocked, terminal: WatchedTerminal, quiet_s: float
) -> WaitEvidence | None:
    """What this blocked thread says. `thread.fds` is what it waits for."""
    moment = thread.timeout_s
    if moment is not None and moment < _MOMENT_S and quiet_s < moment + _AGAIN_S:
        return None
    own = (terminal.device, _DEV_TTY if process.terminal == terminal.device else 0)
    kinds = {fd: _kind(thread.pid, fd, own) for fd in thread.fds}
    if "socket" in kinds.values():
        within = _pairs_within(thread.pid)
        kinds = {fd: kind for fd, kind in kinds.items() if fd not in within}
    if "terminal" in kinds.values():
        masters = [fd for fd, kind in kinds.items() if kind == "master"]
        if masters:
            return _behind(process, masters, terminal, quiet_s)
        if "socket" not in kinds.values():
            return "exact"
    if "socket" not in kinds.values() or process.terminal not in (0, terminal.device):
        return None
    # A client of something that has the terminal, or watches it too: tmux, ssh, a container's
    # shell. What waits, if anything does, is at the far end.
    if _raw(terminal.fd):
        return "inferred" if quiet_s >= _RELAY_QUIET_S else None
    return "inferred" if quiet_s >= _NETWORK_QUIET_S and "terminal" in kinds.values() else None


def _kind(pid: int, fd: int, own: tuple[int, int]) -> str:
    try:
        status = os.stat(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return "gone"
    if stat.S_ISSOCK(status.st_mode):
        return "socket"
    if not stat.S_ISCHR(status.st_mode):
        return "other"
    if status.st_rdev in own:
        return "terminal"
    return "master" if status.st_rdev == _DEV_PTMX else "other"


def _pairs_within(pid: int) -> set[int]:
    """The descriptors of socket pairs both of whose ends the process has, as event loops do.

    The kernel numbers the two ends of a pair one after the other.
    """
    numbers: dict[int, list[int]] = {}
    for name in os.listdir(f"/proc/{pid}/fd")[:_MOST_DESCRIPTORS]:
        path = f"/proc/{pid}/fd/{name}"
        try:
            if os.getxattr(path, "system.sockprotoname").startswith(b"UNIX"):
                numbers.setdefault(os.stat(path).st_ino, []).append(int(name))
        except OSError:  # no socket, or closed meanwhile
            continue
    paired = (n for n in numbers if n + 1 in numbers or n - 1 in numbers)
    return {fd for number in paired for fd in numbers[number]}


def _behind(
    relay: Process, masters: Iterable[int], terminal: WatchedTerminal, quiet_s: float
) -> WaitEvidence | None:
    """What the terminals behind a relay's master descriptors say."""
    indexes = [_slave_index(relay.pid, fd) for fd in masters]
    if None in indexes and _raw(terminal.fd) and quiet_s >= _NETWORK_QUIET_S:
        return "inferred"
    devices = {slave_device(index) for index in indexes if index is not None}
    return _hearsay(family(relay.pid), devices, terminal, quiet_s)


def _hearsay(
    processes: Iterable[Process],
    devices: Collection[int],
    terminal: WatchedTerminal,
    quiet_s: float,
) -> WaitEvidence | None:
    """What those of the processes that are in front on one of these other terminals say."""
    if terminal.depth >= _DEEPEST:
        return None
    for process in processes:
        if process.terminal in devices and process.group == process.foreground:
            with _opened(process.terminal) as fd:
                inner = WatchedTerminal(
                    process.terminal, fd, process.sid, process.group, terminal.depth + 1
                )
                evidence = find_wait(inner, quiet_s)
            return "inferred" if evidence == "exact" else evidence
    return None


@contextmanager
def _opened(device: int) -> Iterator[int]:
    """A descriptor of a terminal's programs' end, or -1 where it cannot be opened."""
    path = f"/dev/pts/{terminal_index(device)}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield -1
        return
    try:
        yield fd if os.fstat(fd).st_rdev == device else -1
    finally:
        os.close(fd)


def _slave_index(pid: int, fd: int) -> int | None:
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return None
    index = lines.get("tty-index", "").strip()
    return int(index) if index.isdigit() else None


def _hidden(
    members: Iterable[Process],
    hidden: Iterable[Process],
    terminal: WatchedTerminal,
    quiet_s: float,
) -> WaitEvidence | None:
    """Some cannot be looked into (another user's, setuid, or a kernel that does not tell).

    Nobody is at work, and nobody else waits for input. The terminal's mode is a sign that they
    do; without it nothing can be known, unless others in front are there for more than them.
    """
    if any(member.state != "S" for member in members) or quiet_s < _HIDDEN_QUIET_S:
        return None
    others = {member.terminal for member in members} - {0, terminal.device}
    if others:  # a relay that cannot be looked into, but perhaps those behind it
        return _hearsay(members, others, terminal, quiet_s)
    if _raw(terminal.fd) or not _echoes(terminal.fd):
        return "inferred"
    if quiet_s < _UNKNOWN_QUIET_S or not _only_parents(members, hidden):
        return None
    return "unknown"


def _only_parents(members: Iterable[Process], hidden: Iterable[Process]) -> bool:
    """Whether all but the hidden ones are parents of hidden ones: they wait for them."""
    parent = {member.pid: member.ppid for member in members}
    related = {member.pid for member in hidden}
    for pid in list(related):
        while (pid := parent.get(pid, 0)) in parent:
            related.add(pid)
    return related == parent.keys()


def _raw(fd: int) -> bool:
    return fd >= 0 and not termios.tcgetattr(fd)[3] & termios.ICANON


def _echoes(fd: int) -> bool:
    return fd < 0 or bool(termios.tcgetattr(fd)[3] & termios.ECHO)
