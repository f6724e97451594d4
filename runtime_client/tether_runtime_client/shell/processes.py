"""What /proc says of the processes at a terminal, and of those below a shell."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_MOST = 500  # processes of one family that are looked at: a command may start any number


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One line of /proc/PID/stat, as far as it matters here."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    terminal: int  # the controlling terminal's device number
    foreground: int  # the group in front on it
    cpu_ticks: int
    image: int  # the start of the stack: changes when the process executes another program


def process_info(pid: int) -> ProcessInfo | None:
    """What /proc says about a process, or None when it is gone or not shown."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            stat = file.read(4096)
    except OSError:
        return None
    begin, end = stat.find(b"("), stat.rfind(b")")
    rest = stat[end + 2 :].split()
    if end < 0 or len(rest) < 26:
        return None
    return ProcessInfo(
        pid=pid,
        name=os.fsdecode(stat[begin + 1 : end]),
        state=chr(rest[0][0]),
        parent=int(rest[1]),
        group=int(rest[2]),
        session=int(rest[3]),
        terminal=_device(int(rest[4])),
        foreground=int(rest[5]),
        cpu_ticks=int(rest[11]) + int(rest[12]),
        image=int(rest[25]),
    )


def _device(number: int) -> int:
    """The kernel's packed device number as `os.stat` gives it."""
    number &= 0xFFFFFFFF
    return os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)


def group_members(shell: int, group: int) -> list[ProcessInfo]:
    """The living processes of a group, most of which descend from the shell.

    Going down from the shell is cheap; where that finds nothing all processes are looked at.
    """
    found = [info for info in family(shell) if info.group == group and info.state not in "ZX"]
    if found:
        return found
    return [info for info in all_processes() if info.group == group and info.state not in "ZX"]


def in_front(shell: int, group: int) -> list[ProcessInfo]:
    """The living processes that may read the terminal: the group's, and those they started.

    A program that took a kernel session of its own (`su -c`) is not held back by job control;
    another group in the same session is in the background and cannot read.
    """
    found: dict[int, ProcessInfo] = {}
    for info in family(shell):  # parents come first
        if info.group == group or info.parent in found:
            found[info.pid] = info
    own = {info.session for info in found.values() if info.group == group}
    if not own:
        return group_members(shell, group)
    return [
        info
        for info in found.values()
        if info.state not in "ZX" and (info.group == group or info.session not in own)
    ]


def family(pid: int) -> Iterator[ProcessInfo]:
    """The process and those that descend from it, `_MOST` at most: nearer and newer ones first."""
    found = deque([pid])
    for _ in range(_MOST):
        if not found:
            return
        pid = found.popleft()
        info = process_info(pid)
        if info is not None:
            yield info
        found.extend(children(pid))


def children(pid: int) -> list[int]:
    """All of them, oldest first; none when it is gone or the kernel does not list them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    except OSError:
        return found
    return found


def all_processes() -> Iterator[ProcessInfo]:
    """Every process that /proc shows."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (info := process_info(int(name))) is not None:
            yield info


def foreground_names(shell: int, group: int) -> list[str]:
    """The names of the processes in a group, oldest first."""
    members = sorted(group_members(shell, group), key=lambda info: info.pid)
    return [info.name for info in members]
