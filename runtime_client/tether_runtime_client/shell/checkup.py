"""A command that is quiet: is its shell well, and does something wait for input?"""

from __future__ import annotations

import signal
from typing import Protocol

from .caught import Signs
from .command import WaitEvidence
from .processes import group_members
from .run import Run
from .shell_end import (
    CAUGHT,
    DEAF,
    FILELESS,
    HUNG_UP,
    PROMPTING,
    REPLACED,
    STUCK,
    UNREPORTED,
    ShellEnd,
)
from .shell_process import ShellProcess
from .terminal import READ_PER_WAKE
from .waiting import WatchedTerminal, find_wait
from .watch import QuietWatch

_ATTEMPTS = 3  # to get a lost report again
_REPORT_S = 0.5  # for a report, which takes microseconds
_PROMPT_S = 0.5  # for what a prompt that cannot be unset runs


class CheckedShell(Protocol):
    """What a checkup has a shell do. `run` is the command that runs, if any."""

    run: Run | None

    def status_readable(self, process: ShellProcess, /) -> None:
        """Take the reports that are there."""

    def read_terminal(self, limit: int, /) -> bool:
        """Pass on the output that is there."""

    def ask_again(self, run: Run, /, *, repair: bool = False) -> None:
        """Have the command's end reported again."""

    def broken(self, end: ShellEnd, /) -> None:
        """It is no use any more."""


class Checkup:
    """Looks at the shell and its command whenever `watch` finds that it is time.

    The shell tells `watch` when a command begins, gives or gets bytes, and ends.
    """

    def __init__(self, shell: CheckedShell, process: ShellProcess) -> None:
        self._shell = shell
        self._process = process
        self._terminal = process.terminal
        self._condition = process.condition
        self._caught = Signs(process.pid)
        self._replaced = False
        self.watch = QuietWatch(self._look)

    def control_closed(self) -> None:
        """The shell ends, or has executed another program."""
        self._replaced = True
        self.watch.soon()

    def _look(self) -> None:
        """The command is quiet: is the shell well, and does something wait for input?"""
        run = self._shell.run
        if run is None or self._process.continue_if_stopped():
            return
        group = self._terminal.foreground_group()
        if group == self._process.group and (
            self._is_deaf(run) or self._is_idle(run) or self._is_caught()
        ):
            return
        if group != self._process.group and self._is_prompting(run):
            return
        self._terminal.start_output()
        if self._terminal.hung_up:
            self._shell.broken(HUNG_UP)
            return
        self._replaced = self._replaced or self._condition.is_replaced()
        if self._process.typing:  # there is more for it to read
            return
        evidence = find_wait(self._watched(group), self.watch.quiet_s)
        if evidence is None:
            self._check_report(group)
        elif not self._wrote_before(run):
            self._waits(run, group, evidence)

    def _waits(self, run: Run, group: int, evidence: WaitEvidence) -> None:
        """What is in front waits for input: it should be the command."""
        if self._replaced:
            self._shell.broken(REPLACED)
        elif group == self._process.group and self._condition.cannot_redirect():
            self._shell.broken(FILELESS)
        elif not self._asks_terminal(run):
            run.command.now_waits(evidence)

    def _asks_terminal(self, run: Run) -> bool:
        """In line mode no answer would come to it."""
        asks = run.command.asks_terminal
        return asks is not None and not self._terminal.line_mode() and asks()

    def _wrote_before(self, run: Run) -> bool:
        """Whether there is output that nobody has read yet: who waits has asked for something."""
        before = run.command.total_bytes
        self._shell.read_terminal(READ_PER_WAKE)
        return run.command.total_bytes > before

    def _watched(self, group: int) -> WatchedTerminal:
        terminal = self._terminal
        return WatchedTerminal(terminal.device, terminal.other_end, self._process.pid, group)

    def _is_deaf(self, run: Run) -> bool:
        """Whether the shell sleeps without having read the command."""
        if run.repeats or not (self._process.unread() and self._condition.sleeps()):
            return False
        run.idle_looks += 1
        self.watch.soon()
        if run.idle_looks > 2:
            self._shell.broken(DEAF)
        return True

    def _is_idle(self, run: Run) -> bool:
        """Whether the shell waits for the next line though it has not reported this command."""
        if not self._awaits_line():
            return False
        self._shell.status_readable(self._process)
        if self._shell.run is not run:
            return True
        run.idle_looks += 1
        self.watch.soon()
        if run.idle_looks > _ATTEMPTS:
            self._shell.broken(UNREPORTED)
        else:
            if run.idle_looks > 1:
                # An interrupt that cut a line while it was read can leave an open quote; another
                # one, now that nothing is being read, clears the parser.
                self._terminal.signal(signal.SIGINT)
            self._shell.ask_again(run, repair=run.idle_looks == _ATTEMPTS)
        return True

    def _awaits_line(self) -> bool:
        """Whether bash has taken all it was sent and waits for more, at its top level."""
        in_front = self._terminal.foreground_group() == self._process.pid
        return in_front and not self._process.unread() and self._condition.sleeps_between_commands()

    def _is_caught(self) -> bool:
        """Whether the shell is busy with an interrupt and nothing else."""
        if not self._caught.look():
            return False
        self.watch.soon()
        if self._caught.enough:
            self._shell.broken(CAUGHT)
        return True

    def _is_prompting(self, run: Run) -> bool:
        """Whether the shell waits for a program of its prompt, which has kept it for too long.

        Such variables are unset between commands; read-only ones cannot be.
        """
        if not self._condition.sleeps_between_commands():
            return False
        self._shell.status_readable(self._process)
        if self._shell.run is run and self.watch.quiet_s > _PROMPT_S:
            self._shell.broken(PROMPTING)
        return True

    def _check_report(self, group: int) -> None:
        """After a `fork` that failed, bash waits for the last job that it could start: for ever,
        and amid its report.
        """
        if group == self._process.group and self.watch.quiet_s > _REPORT_S:
            alone = len(group_members(self._process.pid, group)) == 1
            if alone and self._condition.sleeps_in_report():
                self._shell.broken(STUCK)
