"""What a process's threads are blocked on, as far as /proc tells: system calls and descriptors."""

from __future__ import annotations

import os
import platform
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

_MOST = 4096  # descriptors one poll or select may name, before it is not looked into
_MOST_THREADS = 500
_LONGEST_LIST = 256 * 1024  # of an epoll's descriptors, as text: some thousands
_GONE = (FileNotFoundError, ProcessLookupError)
_READABLE = 0x0001 | 0x0040  # POLLIN, POLLRDNORM; the same bits in epoll


@dataclass(frozen=True, slots=True)
class Blocked:
    """A thread that waits for one of these descriptors to become readable.

    `timeout_s` is after how long it goes on all the same; None is never.
    """

    pid: int
    fds: tuple[int, ...]
    timeout_s: float | None = None


def blocked_threads(pid: int) -> list[Blocked] | None:
    """The threads blocked on descriptors; None when the process does not let itself be seen.

    Of a great many threads some are looked at, others the next time.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        if len(threads) > _MOST_THREADS:
            threads = random.sample(threads, _MOST_THREADS)
        return [found for tid in threads if (found := _blocked(pid, tid)) is not None]
    except _GONE:
        return []
    except OSError:
        return None


def sleeps(pid: int) -> bool:
    """Whether the process's first thread waits for nothing but time to pass."""
    try:
        with open(f"/proc/{pid}/wchan", "rb", buffering=0) as file:
            return file.read(64) == b"hrtimer_nanosleep"
    except OSError:
        return False


def _blocked(pid: int, tid: str) -> Blocked | None:
    """Raises OSError when the thread may not be looked at; a thread that is gone is not blocked."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", "rb", buffering=0) as file:
            fields = file.read(512).split()
        if len(fields) < 7:  # "running", or blocked outside of a system call
            return None
        call = _CALLS.get(int(fields[0]))
        if call is None:
            return None
        arguments = [int(field, 16) for field in fields[1:7]]
        return Blocked(pid, tuple(call.find(pid, arguments)), call.timeout(pid, arguments))
    except _GONE:
        return None


def _first(pid: int, arguments: Sequence[int]) -> list[int]:
    return [arguments[0] & 0x7FFFFFFF]


def _second(pid: int, arguments: Sequence[int]) -> list[int]:
    return [arguments[1] & 0x7FFFFFFF]


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
    with open(f"/proc/{pid}/fdinfo/{arguments[0] & 0x7FFFFFFF}", "rb", buffering=0) as file:
        lines = file.read(_LONGEST_LIST).split(b"\n")[:-1]
    words = [line.split() for line in lines if line.startswith(b"tfd:")]
    return [int(word[1]) for word in words if int(word[3], 16) & _READABLE]


def _restarted(pid: int, arguments: Sequence[int]) -> list[int]:
    """A call that a signal had interrupted, mostly by stopping the process: poll, or a sleep."""
    try:
        return _poll(pid, arguments)
    except OSError:  # a sleep's arguments do not lead to a list of descriptors
        return []


def _never(pid: int, arguments: Sequence[int]) -> None:
    return None


def _milliseconds(position: int) -> _Timeout:
    def timeout(pid: int, arguments: Sequence[int]) -> float | None:
        value = arguments[position] & 0xFFFFFFFF
        return value / 1000 if value < 1 << 31 else None

    return timeout


def _pointed_to(position: int, unit: float) -> _Timeout:
    """Seconds and parts of them, where this argument points."""

    def timeout(pid: int, arguments: Sequence[int]) -> float | None:
        if not arguments[position]:
            return None
        seconds, parts = struct.unpack("=qq", _memory(pid, arguments[position], 16))
        return float(seconds + parts * unit)

    return timeout


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(address)
        found = file.read(size)
    if len(found) < size:
        raise ProcessLookupError(f"the memory of process {pid} is gone")
    return found


_Finder = Callable[[int, Sequence[int]], list[int]]
_Timeout = Callable[[int, Sequence[int]], float | None]


class _Call(NamedTuple):
    find: _Finder
    timeout: _Timeout = _never


_READ = _Call(_first)
_SENDFILE = _Call(_second)
_POLL = _Call(_poll, _milliseconds(2))
_PPOLL = _Call(_poll, _pointed_to(2, 1e-9))
_SELECT = _Call(_select, _pointed_to(4, 1e-6))
_PSELECT = _Call(_select, _pointed_to(4, 1e-9))
_EPOLL = _Call(_epoll, _milliseconds(3))
_EPOLL2 = _Call(_epoll, _pointed_to(3, 1e-9))
_RESTART = _Call(_restarted)
_BY_MACHINE: dict[str, dict[int, _Call]] = {
    "x86_64": {
        0: _READ,
        17: _READ,  # pread64
        19: _READ,  # readv
        295: _READ,  # preadv
        327: _READ,  # preadv2
        40: _SENDFILE,
        275: _READ,  # splice
        326: _READ,  # copy_file_range
        7: _POLL,
        271: _PPOLL,
        23: _SELECT,
        270: _PSELECT,
        232: _EPOLL,  # epoll_wait
        281: _EPOLL,  # epoll_pwait
        441: _EPOLL2,
        219: _RESTART,
    },
    # The generic table: aarch64, riscv64, loongarch64.
    "": {
        63: _READ,
        65: _READ,
        67: _READ,
        69: _READ,
        286: _READ,
        71: _SENDFILE,
        76: _READ,
        285: _READ,
        73: _PPOLL,
        72: _PSELECT,
        22: _EPOLL,
        441: _EPOLL2,
        128: _RESTART,
    },
}
_CALLS = MappingProxyType(_BY_MACHINE.get(platform.machine(), _BY_MACHINE[""]))
