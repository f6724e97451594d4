"""Does something wait for input on this terminal? Answered from /proc, by looking once.

Exact: a thread of a process in front is blocked in a read, poll, select or epoll that names the
terminal. A program that computes, sleeps, or waits for a socket, a child or a file is not
waiting. Relays (script, sudo with its own terminal, tmux, ssh) always watch the terminal; for
them the terminal behind is asked where it can be seen, and the answer is `inferred`.
"""

from __future__ import annotations

import os
import stat
import termios
from collections.abc import Iterable
from dataclasses import dataclass

from .blocked import Blocked, blocked_threads
from .command import WaitEvidence
from .processes import ProcessInfo, all_processes, group_members

_DEV_TTY = os.makedev(5, 0)
_DEV_PTMX = os.makedev(5, 2)
_SLAVE_MAJOR = 136
_NETWORK_QUIET_S = 1.0  # a relay in line mode may be busy at its far end
_HIDDEN_QUIET_S = 0.1
_UNKNOWN_QUIET_S = 5.0


@dataclass(frozen=True, slots=True)
class WatchedTerminal:
    """A terminal: its device number, a descriptor to ask its mode of, who has it."""

    device: int
    fd: int
    shell: int
    group: int


def find_wait(terminal: WatchedTerminal, quiet_s: float) -> WaitEvidence | None:
    """How certain it is that a program waits for input now; None when none is seen to.

    `quiet_s` is how long there has been neither output nor input: weak signs need longer.
    """
    members = group_members(terminal.shell, terminal.group)
    found: WaitEvidence | None = None
    hidden = 0
    for member in members:
        blocked = blocked_threads(member.pid)
        if blocked is None:
            hidden += 1
            continue
        evidence = _strongest(_judge(thread, terminal, quiet_s) for thread in blocked)
        if evidence == "exact":
            return evidence
        found = found or evidence
    if found is None and hidden and hidden == len(members):
        return _hidden(members, terminal, quiet_s)
    return found


def _strongest(found: Iterable[WaitEvidence | None]) -> WaitEvidence | None:
    seen = set(found)
    return "exact" if "exact" in seen else "inferred" if "inferred" in seen else None


def _judge(thread: Blocked, terminal: WatchedTerminal, quiet_s: float) -> WaitEvidence | None:
    """What this blocked thread says. `thread.fds` is what it waits for."""
    kinds = {fd: _kind(thread.pid, fd, terminal.device) for fd in thread.fds}
    if "terminal" not in kinds.values():
        return None
    masters = [fd for fd, kind in kinds.items() if kind == "master"]
    if masters:
        return _strongest(_behind(thread.pid, fd, terminal.fd, quiet_s) for fd in masters)
    if "socket" not in kinds.values():
        return "exact"
    return "inferred" if _raw(terminal.fd) or quiet_s >= _NETWORK_QUIET_S else None


def _kind(pid: int, fd: int, device: int) -> str:
    try:
        status = os.stat(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return "gone"
    if stat.S_ISSOCK(status.st_mode):
        return "socket"
    if not stat.S_ISCHR(status.st_mode):
        return "other"
    if status.st_rdev in (device, _DEV_TTY):
        return "terminal"
    return "master" if status.st_rdev == _DEV_PTMX else "other"


def _behind(pid: int, fd: int, mode_fd: int, quiet_s: float) -> WaitEvidence | None:
    """What the terminal behind a relay's master descriptor says, as hearsay."""
    index = _slave_index(pid, fd)
    if index is None:
        return "inferred" if _raw(mode_fd) and quiet_s >= _NETWORK_QUIET_S else None
    device = os.makedev(_SLAVE_MAJOR + index // 256, index % 256)
    for process in all_processes():
        if process.terminal == device and process.group == process.foreground:
            inner = WatchedTerminal(device, mode_fd, process.session, process.group)
            return "inferred" if find_wait(inner, quiet_s) is not None else None
    return None


def _slave_index(pid: int, fd: int) -> int | None:
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return None
    index = lines.get("tty-index", "").strip()
    return int(index) if index.isdigit() else None


def _hidden(
    members: Iterable[ProcessInfo], terminal: WatchedTerminal, quiet_s: float
) -> WaitEvidence | None:
    """Nothing in front can be looked into (another user's, or a kernel that does not tell)."""
    if any(member.state != "S" for member in members) or quiet_s < _HIDDEN_QUIET_S:
        return None
    if _raw(terminal.fd) or not _echoes(terminal.fd):
        return "inferred"
    return "unknown" if quiet_s >= _UNKNOWN_QUIET_S else None


def _raw(fd: int) -> bool:
    return not termios.tcgetattr(fd)[3] & termios.ICANON


def _echoes(fd: int) -> bool:
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)
