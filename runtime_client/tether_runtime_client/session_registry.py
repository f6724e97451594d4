"""A folder with one small file per process session that the client started.

The client writes it (`register` when it starts a session leader, `unregister` when that session
is over) and the supervisor reads it after the client has died, to end what is left. Nearly all of
that is found as descendants anyway; the registry also finds what a supervisor that was killed has
left behind, when the next one starts.

A file is named after the leader's pid and holds `starttime pid-namespace boot-id`: pids are used
again, and a folder that outlives a container holds pids of another namespace.
"""

from __future__ import annotations

import os

from tether_runtime_client.private_files import read_small, write_small
from tether_runtime_client.proctree import Process, read_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPORARY = ".new"


def register(folder: str, pid: int) -> None:
    """Note the live process `pid` as a session leader; twice is safe.

    Raises ProcessLookupError when it is gone, OSError when the folder cannot be written.
    """
    process = read_process(pid)
    if process is None:
        raise ProcessLookupError(f"process {pid} is gone: register it before collecting it")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, str(pid))
    write_small(path + _TEMPORARY, f"{process.started} {_life()}\n".encode("ascii"))
    os.replace(path + _TEMPORARY, path)


def unregister(folder: str, pid: int) -> None:
    """Forget a session leader; one that is not registered is fine."""
    try:
        os.unlink(os.path.join(folder, str(pid)))
    except FileNotFoundError:
        return


def registered(folder: str) -> dict[int, int]:
    """Start times of registered leaders by pid: only those of this boot and pid namespace.

    A missing folder is an empty one.
    """
    life = _life()
    entries = ((int(name), _read(folder, name)) for name in _names(folder))
    return {
        pid: int(started) for pid, (started, of) in entries if of == life and started.isdecimal()
    }


def clear(folder: str) -> None:
    """Forget every session leader."""
    for name in _names(folder):
        unregister(folder, int(name))


def members(leaders: Mapping[int, int], processes: Mapping[int, Process]) -> list[Process]:
    """The processes whose session was opened by one of `leaders`.

    A leader's pid held by a later process means that the session has ended. While one member of a
    session lives, the kernel gives its number to nobody else, so an absent leader proves nothing.
    """
    current = {
        pid
        for pid, started in leaders.items()
        if pid not in processes or processes[pid].started == started
    }
    return [process for process in processes.values() if process.sid in current]


def _names(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _read(folder: str, name: str) -> tuple[str, str]:
    try:
        content = read_small(os.path.join(folder, name)).decode("ascii", "replace")
    except OSError:  # unregistered between listing and reading, or nothing of ours
        return ("", "")
    started, _, life = content.strip().partition(" ")
    return (started, life)


def _life() -> str:
    """What pids are relative to: the pid namespace and the boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        boot = "-"
    return f"{os.stat('/proc/self/ns/pid').st_ino} {boot}"
