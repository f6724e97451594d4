"""Signals for a command, given when what they are meant for hears them.

Mostly a program is in front, and gets them. But bash starts one in steps: it forks, and the child
makes a group of its own, comes to the front, takes back what bash does with signals and becomes
the program. Amid that a signal reaches bash alone, or the child forgets it: of interrupts in the
first milliseconds of a program one in fifteen was lost. So the shell is held for the microseconds
that a signal takes, when no child of its is in these steps. What it begins still before it heeds
the signal is looked for afterwards, and gets it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ..proctree import Process, read_process
from .caught import is_amid_change
from .missed import MOST, Signalled, is_starting
from .processes import children
from .run import Run
from .shell_process import ShellProcess

_BUSY_S, _LOOK_S = 1.0, 0.001  # until the shell is amid nothing, and between two looks at it
_MISSED_S, _GROWTH = 0.3, 1.5  # for what it still begins; looks for that become more seldom
_GOES_ON_GROWTH = 1.1  # while it does begin things: each signal has about an even chance then
_MISSED_LOOK_S = 0.005  # the first of them
_LEFT_S = 0.05  # after a signal that does not say that nothing is to begin
_NOT_OURS = (ProcessLookupError, PermissionError)  # it has ended, or is another user's by now


@dataclass(frozen=True, slots=True)
class _Order:
    """A signal to give. It is looked after `pause_s` for what missed it."""

    run: Run
    number: int
    whole: bool
    pause_s: float = _MISSED_LOOK_S

    def after(self, growth: float) -> _Order:
        return replace(self, pause_s=self.pause_s * growth)


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
        self._last: Signalled | None = None
        self._closed = False

    def signal(self, run: Run, number: int, *, whole: bool) -> None:
        """Signal what is in front, and ask for the report again: this one may be dropped.

        With `whole` the shell does not go on behind what is in front, however that ends. A signal
        that comes while bash reads the command's line waits until it has: bash would forget what
        it has read, and take the rest for a line of its own. Raises ProcessLookupError when
        nothing is in front.
        """
        run.signals.add(number)
        order = _Order(run, number, whole)
        deadline = self._loop.time() + _BUSY_S
        self._when_heard(run, deadline, self._is_amid_a_child, partial(self._signal, order))

    def press(self, run: Run, data: bytes) -> None:
        """Type a key that has the terminal signal what is in front, once that hears it.

        The shell itself does not: where it is between two programs, the next one is waited for.
        """
        bash = read_process(self._process.pid)
        asleep = bash is not None and bash.state == "S" and self._front() == bash.group

        def is_amid() -> bool:
            return self._is_amid_a_child() or not (asleep or self._is_program_in_front())

        deadline = self._loop.time() + _BUSY_S
        self._when_heard(run, deadline, is_amid, partial(self._process.type, data))

    def cut_short(self) -> None:
        """A command was reported that did not come to its end. What bash was just starting then,
        and has forgotten, gets the signal.
        """
        last = self._last
        if last is None or not (last.final or self._loop.time() < last.at + _LEFT_S):
            return
        left = last.left(self._children())
        for target, number in _targets(left, last):
            _send(target, number)
        forks = [child for child in left if child.image == last.bash.image]
        if forks:
            self._later(_MISSED_LOOK_S, self._signal_again, forks, last.number, _MISSED_LOOK_S)

    def close(self) -> None:
        """Signal nothing any more. Twice is safe."""
        self._closed = True
        self._process.release()

    def _later(self, pause_s: float, call: Callable[..., None], *arguments: object) -> None:
        """A program that has ended meanwhile has no need of it."""

        def run() -> None:
            if not self._closed:
                with contextlib.suppress(ProcessLookupError):
                    call(*arguments)

        self._loop.call_later(pause_s, run)

    def _when_heard(
        self, run: Run, deadline: float, is_amid: Callable[[], bool], call: Callable[[], None]
    ) -> None:
        """Call it while the shell stands still and is not amid something, or at the deadline, by
        the loop's clock; not once the command has ended.
        """
        if run is not self._current():
            self._process.release()
            return
        late = self._loop.time() > deadline
        if late or (not self._is_unread(run) and self._process.hold()):
            try:
                # It is asked again: the shell has gone on until it was held.
                if late or not (self._is_unread(run) or self._is_amid_change() or is_amid()):
                    call()
                    return
            finally:
                self._process.release()
        self._later(_LOOK_S, self._when_heard, run, deadline, is_amid, call)

    def _is_unread(self, run: Run) -> bool:
        """Whether bash is still busy with the end of the last command, or with this one's line."""
        process = self._process
        return not run.repeats and (process.unread() > 0 or process.condition.is_between_commands())

    def _is_amid_change(self) -> bool:
        """Whether an interrupt now could have bash caught in it."""
        return is_amid_change(self._process.pid)

    def _is_amid_a_child(self) -> bool:
        """Whether the shell is about to begin a program, or to take notice of the end of one."""
        bash = read_process(self._process.pid)
        return bash is not None and any(
            is_starting(child, bash) or (not child.alive and child.group == bash.group)
            for child in self._children()
        )

    def _is_program_in_front(self) -> bool:
        front = self._front()
        return any(child.alive and child.group == front for child in self._children())

    def _front(self) -> int:
        return self._process.terminal.foreground_group()

    def _signal(self, order: _Order) -> None:
        if order.run is not self._current():
            return
        process, terminal = self._process, self._process.terminal
        self._last = last = self._as_it_is(order)
        alone = order.whole and last.front != process.group
        if alone:
            process.interrupt()
        try:
            terminal.signal(order.number)
        except ProcessLookupError:  # what was in front has just ended
            if not alone:
                raise
        self._ask_again(order.run)
        if order.pause_s < _MISSED_S:
            self._later(order.pause_s, self._look_for_missed, order, last)

    def _as_it_is(self, order: _Order) -> Signalled:
        final = order.whole and not order.run.may_trap  # what a trap runs begins later, and rightly
        return Signalled.now(order.number, self._process.pid, self._front(), final=final)

    def _look_for_missed(self, order: _Order, last: Signalled) -> None:
        if order.run is not self._current() or last is not self._last:
            return
        front = self._front()
        missed = last.missed(front)
        if last.final and any(map(last.is_later_child, self._children())):
            for process in missed:
                if process.group != front:
                    _send(process.pid, order.number)
            # At any moment now. What was looked for ends just then, mostly, and without job
            # control the shell ignores a signal if a program ends by itself amid that.
            self._later(_LOOK_S, self._signal, order.after(_GOES_ON_GROWTH))
            return
        order = order.after(_GROWTH)
        if missed:
            self._last = last = self._as_it_is(order)
            for process in missed:
                _send(process.pid, order.number)
            self._ask_again(order.run)
        if order.pause_s < _MISSED_S:
            self._later(order.pause_s, self._look_for_missed, order, last)

    def _children(self) -> list[Process]:
        found = map(read_process, children(self._process.pid)[-MOST:])
        return [child for child in found if child is not None]

    def _signal_again(self, forks: list[Process], number: int, pause_s: float) -> None:
        """Those that are programs by now: they have forgotten it."""
        still = []
        for fork in forks:
            process = read_process(fork.pid)
            if process is None or process.key != fork.key or not process.alive:
                continue
            if process.image == fork.image:
                still.append(fork)
            else:
                _send(process.pid, number)
        if still and pause_s < _MISSED_S:
            self._later(pause_s, self._signal_again, still, number, pause_s * _GROWTH)


def _targets(left: list[Process], last: Signalled) -> set[tuple[int, int]]:
    """Whom to signal, and what with, of those that the shell has forgotten."""
    targets = set()
    for child in left:
        if is_starting(child, last.bash):  # it would forget it, or waits for the shell
            targets.add((child.pid, int(signal.SIGKILL)))
        elif child.group == last.bash.group:
            targets.add((child.pid, last.number))
        else:
            targets.add((-child.group, last.number))
    return targets


def _send(pid: int, number: int) -> None:
    """To a process, or to a group where it is negative."""
    with contextlib.suppress(*_NOT_OURS):
        os.kill(pid, number)
