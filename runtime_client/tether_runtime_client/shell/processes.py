"""Which processes belong to a session, and how to end all of them.

A process belongs to a shell when it is in the shell's kernel session, descends from it, or
carries the shell's marker in its environment (a daemon that forked twice and called setsid).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TERM_SHARE = 0.25  # of the time allowed, for an end by SIGHUP and SIGTERM
_ROUND_S = 0.5  # then SIGKILL, in rounds, since the killed may have forked meanwhile


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
    found = [info for info in _family(shell) if info.group == group and info.state not in "ZX"]
    if found:
        return found
    return [info for info in all_processes() if info.group == group and info.state not in "ZX"]


def in_front(shell: int, group: int) -> list[ProcessInfo]:
    """The living processes that may read the terminal: the group's, and those they started.

    A program that took a kernel session of its own (`su -c`) is not held back by job control;
    another group in the same session is in the background and cannot read.
    """
    members = {info.pid: info for info in group_members(shell, group)}
    own = {info.session for info in members.values()}
    for member in list(members.values()):
        members |= {
            info.pid: info
            for info in _family(member.pid)
            if info.session not in own and info.state not in "ZX"
        }
    return list(members.values())


def _family(pid: int) -> Iterator[ProcessInfo]:
    info = process_info(pid)
    if info is not None:
        yield info
    for child in _children(pid):
        yield from _family(child)


def _children(pid: int) -> list[int]:
    """Empty when it has none, is gone, or the kernel does not list them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read(65536).split())
    except OSError:
        return found
    return found


def all_processes() -> Iterator[ProcessInfo]:
    """Every process that /proc shows."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (info := process_info(int(name))) is not None:
            yield info


def session_processes(shell: int, marker: bytes) -> list[int]:
    """The living processes of the shell with this pid, itself included."""
    table = {info.pid: info for info in all_processes() if info.state not in "ZX"}
    members = {pid for pid, info in table.items() if info.session == shell or pid == shell}
    members |= {pid for pid in table.keys() - members if _carries(pid, marker)}
    return sorted(_with_descendants(members, table))


def _with_descendants(members: set[int], table: dict[int, ProcessInfo]) -> set[int]:
    grown = True
    while grown:
        children = {pid for pid, info in table.items() if info.parent in members}
        grown = not children <= members
        members |= children
    return members - {os.getpid()}


def _carries(pid: int, marker: bytes) -> bool:
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def foreground_names(shell: int, group: int) -> list[str]:
    """The names of the processes in a group, oldest first."""
    members = sorted(group_members(shell, group), key=lambda info: info.pid)
    return [info.name for info in members]


async def end_session(shells: Iterable[tuple[int, bytes]], timeout_s: float) -> list[int]:
    """End every process of these (pid, marker) shells: SIGHUP and SIGTERM, then SIGKILL.

    Returns the pids that outlived the time allowed (a process in uninterruptible sleep can).
    Zombies are not waited for: their parents reap them. Safe to call twice.
    """
    loop = asyncio.get_running_loop()
    shells = list(shells)
    deadline = loop.time() + timeout_s
    await _signal_all(_members(shells), signal.SIGHUP, timeout_s * _TERM_SHARE)
    while (members := _members(shells)) and (left := deadline - loop.time()) > 0:
        await _signal_all(members, signal.SIGKILL, min(left, _ROUND_S))
    return members


def _members(shells: Iterable[tuple[int, bytes]]) -> list[int]:
    return sorted({pid for shell in shells for pid in session_processes(*shell)})


async def _signal_all(pids: Iterable[int], number: signal.Signals, timeout_s: float) -> None:
    """Signal them all, then wait until all have ended or the time is over."""
    handles = list(_open_all(pids))
    try:
        for handle in handles:
            _signal_one(handle, number)
        await _ended(handles, timeout_s)
    finally:
        for handle in handles:
            os.close(handle)


def _open_all(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        try:
            yield os.pidfd_open(pid)
        except ProcessLookupError:
            continue


def _signal_one(handle: int, number: signal.Signals) -> None:
    """A stopped process acts on nothing but SIGKILL until it is continued."""
    wanted = [number] if number == signal.SIGKILL else [number, signal.SIGTERM, signal.SIGCONT]
    for each in wanted:
        try:
            signal.pidfd_send_signal(handle, each)
        except (ProcessLookupError, PermissionError):
            return


async def _ended(handles: Iterable[int], timeout_s: float) -> None:
    """Wait until every process behind these pidfds has ended, or the time is over."""
    loop = asyncio.get_running_loop()
    waiting = set(handles)
    done = loop.create_future()

    def ended(handle: int) -> None:
        loop.remove_reader(handle)
        waiting.discard(handle)
        if not waiting and not done.done():
            done.set_result(None)

    for handle in list(waiting):
        loop.add_reader(handle, ended, handle)
    try:
        if waiting:
            await asyncio.wait([done], timeout=timeout_s)
    finally:
        for handle in waiting:
            loop.remove_reader(handle)
