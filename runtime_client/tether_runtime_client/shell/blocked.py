"""What a process's threads are blocked on, as far as /proc tells: system calls and descriptors."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

_MOST = 4096  # descriptors one poll or select may name, before it is not looked into
_READABLE = 0x0001 | 0x0040  # POLLIN, POLLRDNORM; the same bits in epoll


@dataclass(frozen=True, slots=True)
class Blocked:
    """A thread that waits for one of these descriptors to become readable."""

    pid: int
    fds: tuple[int, ...]


def blocked_threads(pid: int) -> list[Blocked] | None:
    """The threads blocked on descriptors; None when the process does not let itself be seen."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return [found for tid in threads if (found := _blocked(pid, tid)) is not None]
    except OSError:
        return None


def _blocked(pid: int, tid: str) -> Blocked | None:
    """Raises OSError when the thread may not be looked at; a thread that is gone is not blocked."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", "rb", buffering=0) as file:
            fields = file.read(512).split()
    except ProcessLookupError:
        return None
    if len(fields) < 7:  # "running", or blocked outside of a system call
        return None
    find = _CALLS.get(int(fields[0]))
    if find is None:
        return None
    return Blocked(pid, tuple(find(pid, [int(field, 16) for field in fields[1:7]])))


def _first(pid: int, arguments: Sequence[int]) -> list[int]:
    return [arguments[0] & 0x7FFFFFFF]


def _poll(pid: int, arguments: Sequence[int]) -> list[int]:
    address, count = arguments[0], arguments[1]
    if not 0 < count <= _MOST:
        return []
    entries = struct.iter_unpack("=ihh", _memory(pid, address, 8 * count))
    return [fd for fd, events, _ in entries if fd >= 0 and events & _READABLE]


def _select(pid: int, arguments: Sequence[int]) -> list[int]:
    count, address = arguments[0], arguments[1]
    if not address or not 0 < count <= _MOST:
        return []
    bits = int.from_bytes(_memory(pid, address, (count + 63) // 64 * 8), "little")
    return [fd for fd in range(count) if bits >> fd & 1]


def _epoll(pid: int, arguments: Sequence[int]) -> list[int]:
    with open(f"/proc/{pid}/fdinfo/{arguments[0] & 0x7FFFFFFF}") as file:
        words = [line.split() for line in file if line.startswith("tfd:")]
    return [int(word[1]) for word in words if int(word[3], 16) & _READABLE]


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(address)
        return file.read(size)


_Finder = Callable[[int, Sequence[int]], list[int]]
_BY_MACHINE: dict[str, dict[int, _Finder]] = {
    "x86_64": {
        0: _first,  # read
        17: _first,  # pread64
        19: _first,  # readv
        7: _poll,
        271: _poll,  # ppoll
        23: _select,
        270: _select,  # pselect6
        232: _epoll,  # epoll_wait
        281: _epoll,  # epoll_pwait
        441: _epoll,  # epoll_pwait2
    },
    # The generic table: aarch64, riscv64, loongarch64.
    "": {63: _first, 65: _first, 67: _first, 73: _poll, 72: _select, 22: _epoll, 441: _epoll},
}
_CALLS = MappingProxyType(_BY_MACHINE.get(platform.machine(), _BY_MACHINE[""]))
