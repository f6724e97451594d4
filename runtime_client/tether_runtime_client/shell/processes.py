"""What /proc says of the processes at a terminal, and of those below a shell."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator

from ..proctree import Process, read_process, snapshot

_ACTIONS = re.compile(rb"\nSigIgn:\s*([0-9a-f]+)\nSigCgt:\s*([0-9a-f]+)")
_MOST = 500  # processes of one family that are looked at: a command may start any number


def group_members(shell: int, group: int) -> list[Process]:
    """The living processes of a group, most of which descend from the shell.

    Going down from the shell is cheap; where that finds nothing all processes are looked at.
    """
    found = [process for process in family(shell) if process.group == group and process.alive]
    if found:
        return found
    return [process for process in snapshot().values() if process.group == group and process.alive]


def in_front(shell: int, group: int) -> list[Process]:
    """The living processes that may read the terminal: the group's, and those they started.

    A program that took a kernel session of its own (`su -c`) is not held back by job control;
    another group in the same session is in the background and cannot read.
    """
    found: dict[int, Process] = {}
    for process in family(shell):  # parents come first
        if process.group == group or process.ppid in found:
            found[process.pid] = process
    own = {process.sid for process in found.values() if process.group == group}
    if not own:
        return group_members(shell, group)
    return [
        process
        for process in found.values()
        if process.alive and (process.group == group or process.sid not in own)
    ]


def family(pid: int) -> Iterator[Process]:
    """The process and those that descend from it, `_MOST` at most: nearer and newer ones first."""
    found = deque([pid])
    for _ in range(_MOST):
        if not found:
            return
        pid = found.popleft()
        process = read_process(pid)
        if process is not None:
            yield process
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


def foreground_names(shell: int, group: int) -> list[str]:
    """The names of the processes in a group, oldest first."""
    members = sorted(group_members(shell, group), key=lambda process: process.pid)
    return [process.name for process in members]


def signal_actions(pid: int) -> tuple[int, int]:
    """The signals it ignores, and those it has handlers for: bit N-1 for signal N.

    Both 0 where that is not shown.
    """
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            found = _ACTIONS.search(file.read())
    except OSError:
        return 0, 0
    return (int(found[1], 16), int(found[2], 16)) if found else (0, 0)
