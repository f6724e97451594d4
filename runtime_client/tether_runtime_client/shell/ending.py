"""Ends processes that may not want to end: asked first, then stopped as a whole, then killed."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from ..proctree import Process, read_process, send, signal_all, snapshot, stop_all
from .processes import children

if TYPE_CHECKING:
    from ..proctree import Find

_POLITE_SHARE = 0.25  # of the time allowed, for an end by SIGHUP and SIGTERM
_ROUND_S = 0.5  # then SIGKILL, in rounds
_STORM = 64  # more processes than that are not asked: they might become ever more
_MOST_LOOKS = 50
_AT_ONCE = 256  # ends waited for at a time: each takes a descriptor


class Ending:
    """One end of everything that `find` finds. It blocks: run it in a thread of its own.

    `shells` are stopped first, so that they start nothing more, and killed last: while a shell
    lives, what becomes an orphan becomes its child.
    """

    def __init__(self, find: Find, shells: Sequence[Process], limit_s: float) -> None:
        self._find = find
        self._shells = shells
        self._spared = {shell.key for shell in shells}
        self._polite_s = limit_s * _POLITE_SHARE
        self._deadline = time.monotonic() + limit_s

    def run(self) -> list[int]:
        """Returns the pids of what outlived the time allowed."""
        for shell in self._shells:
            _stop_jobs(shell)
        others = self._others(stop_all(self._find))
        if 0 < len(others) <= _STORM:
            self._ask(others)
        if others:
            self._kill_others()
        _send_all(self._shells, signal.SIGKILL)
        _await_ends(self._shells, _ROUND_S)
        self._spared.clear()
        if not self._others(self._find(snapshot())):
            return []
        self._kill_others()
        return [process.pid for process in self._others(self._find(snapshot()))]

    def _others(self, found: Sequence[Process]) -> list[Process]:
        return [process for process in found if process.alive and process.key not in self._spared]

    def _ask(self, processes: Sequence[Process]) -> None:
        """By SIGHUP first, as a hang-up does: SIGTERM with it would end what means to handle that.

        A stopped process acts on nothing but SIGKILL until it is continued.
        """
        for number in (signal.SIGHUP, signal.SIGTERM):
            _send_all(processes, number)
            _send_all(processes, signal.SIGCONT)
            _await_ends(processes, self._polite_s / 2)

    def _kill_others(self) -> None:
        """In rounds, since what is killed may have started something that was not seen."""
        while self._others(stop_all(self._find)):
            killed = signal_all(lambda found: self._others(self._find(found)), signal.SIGKILL)
            left = self._deadline - time.monotonic()
            if left <= 0:
                return
            _await_ends(killed, min(left, _ROUND_S))


def _stop_jobs(shell: Process) -> None:
    """Stop a shell and, a group at a time, what is right below it.

    That takes next to no time, of which a storm of forks leaves little: a look at everything that
    runs would never come to its end. All of a group came of the shell, as its first process did.
    """
    send(shell, signal.SIGSTOP)
    stopped: set[int] = set()
    for _ in range(_MOST_LOOKS):
        groups = set(filter(None, map(_group, children(shell.pid)))) - stopped
        if not groups:
            return
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGSTOP)
        stopped |= groups


def _group(pid: int) -> int:
    """Its process group; 0 for a process that is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _send_all(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        send(process, number)


def _await_ends(processes: Sequence[Process], limit_s: float) -> None:
    """Until all of them have ended, or the first so many, or the time is over."""
    deadline = time.monotonic() + limit_s
    poller = select.poll()
    with ExitStack() as opened:
        waiting = set()
        for process in processes[:_AT_ONCE]:
            descriptor = _open(process)
            if descriptor is not None:
                opened.callback(os.close, descriptor)
                poller.register(descriptor, select.POLLIN)
                waiting.add(descriptor)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poller.poll(left * 1000):
                poller.unregister(descriptor)
                waiting.discard(descriptor)


def _open(process: Process) -> int | None:
    """A descriptor that is readable once the process has ended; None where it has."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    current = read_process(process.pid)
    if current is not None and current.key == process.key:
        return descriptor
    os.close(descriptor)
    return None
