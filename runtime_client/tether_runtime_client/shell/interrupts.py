"""Signals for a command, given when what they are meant for hears them.

Mostly a program is in front, and gets them. But bash starts one in steps: it forks, and the child
makes a group of its own, comes to the front, takes back what bash does with signals and becomes
the program. Amid that a signal reaches bash alone, or the child still forgets it: of interrupts
in the first milliseconds of a program one in fifteen was lost. And bash itself can heed one by
going back to its prompt and forgetting the child. So it is looked afterwards whether something
runs that should have had the signal, and that gets it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from ..proctree import Process, read_process
from .control import ReportTo
from .processes import children, family
from .run import Run
from .shell_process import ShellProcess

_READ_S, _READ_LOOK_S = 0.3, 0.001  # for bash to read a command's line, and between two looks
_SETTLE_S = 0.005  # for what it starts to come to the front
_MISSED_S, _GROWTH = 0.3, 1.5  # for that on a busy machine; looks for it become more seldom
_TICKS = os.sysconf("SC_CLK_TCK")
_YOUNG = _TICKS // 20  # 50 ms
_MOST = 50  # processes that are looked at
_NOT_OURS = (ProcessLookupError, PermissionError)  # it has ended, or is another user's by now
_JOB = re.compile(rb"(\d+)\n")


@dataclass(frozen=True, slots=True)
class _Signalled:
    """A signal that was given: when, in ticks since boot, and which processes there were, with
    their images; `forks` are those that were not programs of their own yet.

    With `whole` nothing that begins later is to run. `groups` are those of which some had to be
    signalled again: with the last of a pipeline they may lose the front while others live.
    """

    number: int
    whole: bool
    images: dict[int, int]
    forks: frozenset[int]
    at: float
    groups: frozenset[int]

    def is_forgotten(self, child: Process) -> bool:
        """Whether bash may have been starting this child of its."""
        return child.pid not in self.images or self._is_young_fork(child)

    def is_missed(self, process: Process, bash: int, *, may_trap: bool) -> bool:
        """Whether a process in front should have had the signal, and has not, or forgot it.

        What a trap runs has begun later too, and rightly. `bash` is the shell's image.
        """
        image = self.images.get(process.pid)
        if image is not None and process.image != image:
            return process.pid in self.forks
        if may_trap:
            return False
        if image is not None:
            return process.image == bash and self._is_young_fork(process)
        parent = read_process(process.ppid)
        return self.whole and parent is not None and parent.image == bash

    def _is_young_fork(self, process: Process) -> bool:
        return process.pid in self.forks and process.started >= self.at - _YOUNG


class Interrupts:
    """The signals for the commands of one shell.

    `current` says which command runs; `ask_again` has the shell report that one's end again.
    """

    def __init__(
        self,
        process: ShellProcess,
        current: Callable[[], Run | None],
        ask_again: Callable[[Run], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._current = current
        self._ask_again = ask_again
        self._signalled: _Signalled | None = None
        self._closed = False

    def signal(self, run: Run, number: int, *, whole: bool) -> None:
        """Signal what is in front, and ask for the report again: this one may be dropped.

        With `whole` the shell does not go on behind what is in front, however that ends. A signal
        that comes while bash reads the command's line waits until it has: bash would forget what
        it has read, and take the rest for a line of its own. Raises ProcessLookupError when
        nothing is in front.
        """
        run.signals.add(number)
        self._signal_once_read(run, number, whole, self._loop.time() + _READ_S)

    def cut_short(self, to: ReportTo) -> None:
        """A command was reported that did not come to its end. What bash was just starting then,
        and has forgotten, gets the signal.
        """
        last = self._signalled
        if last is None or _now() - last.at > _YOUNG:
            return
        left = [child for child in self._children() if last.is_forgotten(child)]
        if left:
            deadline = self._loop.time() + _MISSED_S
            self._later(_SETTLE_S, self._signal_forgotten, to, last.number, left, deadline)

    def close(self) -> None:
        """Signal nothing any more. Twice is safe."""
        self._closed = True

    def _later(self, pause_s: float, call: Callable[..., None], *arguments: object) -> None:
        """A program that has ended meanwhile has no need of it."""

        def run() -> None:
            if not self._closed:
                with contextlib.suppress(ProcessLookupError):
                    call(*arguments)

        self._loop.call_later(pause_s, run)

    def _signal_once_read(
        self, run: Run, number: int, whole: bool, deadline: float, settled: bool = True
    ) -> None:
        """One that has waited waits another moment: bash starts the program then."""
        if run is not self._current():
            return
        unbegun = self._unbegun
        if not run.repeats and (unbegun or not settled) and self._loop.time() < deadline:
            pause = _READ_LOOK_S if unbegun else _SETTLE_S
            self._later(pause, self._signal_once_read, run, number, whole, deadline, not unbegun)
            return
        self._signal(run, number, whole)

    @property
    def _unbegun(self) -> bool:
        """Whether bash is still busy with the end of the last command, or with this one's line."""
        return self._process.unread() > 0 or self._process.between_commands()

    def _signal(self, run: Run, number: int, whole: bool) -> None:
        process, terminal = self._process, self._process.terminal
        self._signalled = last = self._as_it_is(number, whole)
        if whole and terminal.foreground_group() != process.group:
            process.interrupt()
        terminal.signal(number)
        self._ask_again(run)
        self._later(_SETTLE_S, self._look_for_missed, run, last, _SETTLE_S)

    def _as_it_is(
        self, number: int, whole: bool, groups: frozenset[int] = frozenset()
    ) -> _Signalled:
        images: dict[int, int] = {}
        forks = set()
        for found in islice(family(self._process.pid), _MOST):  # parents come first
            images[found.pid] = found.image
            if found.image == images.get(found.ppid):
                forks.add(found.pid)
        return _Signalled(number, whole, images, frozenset(forks), _now(), groups)

    def _look_for_missed(self, run: Run, last: _Signalled, pause_s: float) -> None:
        if run is not self._current() or last is not self._signalled:
            return
        missed = self._missed(last, run.may_trap)
        if missed:
            groups = last.groups.union(process.group for process in missed)
            self._signalled = last = self._as_it_is(last.number, last.whole, groups)
            if last.whole:
                self._process.interrupt()
            for process in missed:
                with contextlib.suppress(*_NOT_OURS):
                    os.kill(process.pid, last.number)
            self._ask_again(run)
        if pause_s < _MISSED_S:
            self._later(pause_s, self._look_for_missed, run, last, pause_s * _GROWTH)

    def _missed(self, last: _Signalled, may_trap: bool) -> list[Process]:
        bash = read_process(self._process.pid)
        if bash is None:
            return []
        groups = {self._process.terminal.foreground_group(), *last.groups}
        missed: dict[int, Process] = {}
        for found in islice(family(bash.pid), _MOST):  # parents come first
            if found.group not in groups or found.pid == bash.pid or not found.alive:
                continue
            begun_by_missed = found.ppid in missed and found.pid not in last.images
            if begun_by_missed or last.is_missed(found, bash.image, may_trap=may_trap):
                missed[found.pid] = found
        return list(missed.values())

    def _children(self) -> list[Process]:
        found = map(read_process, children(self._process.pid)[-_MOST:])
        return [child for child in found if child is not None and child.alive]

    def _signal_forgotten(
        self, to: ReportTo, number: int, left: list[Process], deadline: float
    ) -> None:
        """Signal those of bash's children that it does not know as jobs."""
        said = self._process.read_mailbox(to.mailbox, to.nonce)
        if said is None:
            if self._loop.time() < deadline:
                self._later(_SETTLE_S, self._signal_forgotten, to, number, left, deadline)
            return
        keys, jobs = {child.key for child in left}, _jobs(said)
        for child in self._children():
            if child.key in keys and child.group not in jobs:
                own = child.group == self._process.group  # of a substitution
                with contextlib.suppress(*_NOT_OURS):
                    (os.kill if own else os.killpg)(child.pid if own else child.group, number)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS


def _jobs(said: bytes) -> set[int]:
    """The groups of a shell's jobs, with which what it writes after an interrupt begins."""
    found, position = set(), 0
    while match := _JOB.match(said, position):
        found.add(int(match[1]))
        position = match.end()
    return found
