"""One command in a session, from its start to its last report."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..dispatcher import Tell
from ..protocol import observations as o
from ..protocol.events import CommandEnded, Event
from ..screen.keyboard import Keyboard
from ..screen.view import ScreenView
from ..shell import CommandEnd, RunningCommand, ShellError, ShellSession, StateLost
from .action_times import ActionTime
from .going_on import GoingOn, Left
from .output_log import OutputLog
from .report import Report

if TYPE_CHECKING:
    from ..screen.questions import Question, Questions

_SIGNALS = signal.NSIG - 1


class Command:
    """Reports what is new since the last report, to whoever asks.

    Its end is told in the report of whoever waits for it. Where it ends unasked, or was reported
    as going on before, it is a `CommandEnded` event too: who follows the stream by the id of the
    action hears of it.
    """

    # Most commands need none of these.
    _view: ScreenView | None = None
    _keyboard: Keyboard | None = None
    _questions: Questions | None = None
    _answer: asyncio.Task[None] | None = None
    _asked_at = -1

    def __init__(
        self,
        when: ActionTime,
        shell: ShellSession,
        running: RunningCommand,
        output: OutputLog,
        *,
        ansi: bool,
        lost_before: o.StateLost | None,
        going_on: GoingOn,
        emit: Callable[[Event], None],
    ) -> None:
        self._when = when
        self._shell = shell
        self._running = running
        self._output = output
        self._ansi = ansi
        self._lost_before = lost_before
        self._emit = emit
        self._reporters = 0
        self._went_on = False
        self._noted = going_on
        self._doubt: asyncio.Future[o.WaitEvidence] | None = None
        """A wait that was told as one, and may be none: whoever polls now wants to know more."""
        running.watchers.append(self._on_end)
        running.asks_terminal = self._asks_terminal

    @property
    def over(self) -> bool:
        """Whether the command has ended."""
        return self._running.done.done()

    @property
    def view(self) -> ScreenView:
        """Its screen. The terminal's size must not change before this was asked for."""
        if self._view is None:
            self._view = ScreenView(self._output, *self._shell.size)
        return self._view

    @property
    def keyboard(self) -> Keyboard:
        """What it has asked of the keyboard by now."""
        if self._keyboard is None:
            self._keyboard = Keyboard(self._output)
        return self._keyboard.update()

    def report_to(
        self, tell: Tell, timeout_s: float | None, no_output_timeout_s: float | None = None
    ) -> Report:
        """Tell once: at the command's end, when it waits for input, or at a timeout."""

        def due() -> None:
            self._reporters -= 1
            try:
                observation = self._report(timed_out=report.timed_out)
            except Exception as problem:  # whoever asked must hear of it
                tell(problem)
            else:
                tell(observation)

        self._reporters += 1
        report = Report(self._running, self._output.last_write, due)
        told_wait = self._doubt is not None and self._doubt is self._running.waiting
        report.start(timeout_s, no_output_timeout_s, told_wait=told_wait)
        return report

    async def report(
        self, timeout_s: float | None, no_output_timeout_s: float | None = None
    ) -> o.Observation:
        """The same, to wait for. Cancelling it changes nothing for the command."""
        told: asyncio.Future[o.Observation] = asyncio.get_running_loop().create_future()

        def tell(outcome: o.Observation | Exception) -> None:
            if told.done():
                return
            if isinstance(outcome, o.Observation):
                told.set_result(outcome)
            else:
                told.set_exception(outcome)

        report = self.report_to(tell, timeout_s, no_output_timeout_s)
        try:
            return await told
        finally:
            self._reporters -= report.cancel()

    async def ends_within(self, limit_s: float | None) -> bool:
        """Wait for its end without a report, which whoever waits is to ask for then."""
        self._reporters += 1
        try:
            await asyncio.wait([self._running.done], timeout=limit_s)
        finally:
            self._reporters -= 1
        return self.over

    def forget_wait(self) -> None:
        """The command was given something: an earlier wait for input does not count any more."""
        self._running.now_active()

    def _asks_terminal(self) -> bool:
        """Whether all that it waits for is what the terminal says to its last questions.

        It is told once: who waits on without another word waits for somebody else.
        """
        if self._answer is not None and not self._answer.done():
            return True
        if self._output.total == self._asked_at:
            return False
        self._asked_at = self._output.total
        if self._questions is None:
            from ..screen.questions import Questions  # few commands ever wait in raw mode

            self._questions = Questions(self._output)
        asked = self._questions.new(brackets=self.keyboard.brackets)
        if asked:
            self._answer = asyncio.get_running_loop().create_task(self._tell(asked))
        return bool(asked)

    async def _tell(self, asked: Sequence[Question]) -> None:
        said = await self.view.answers(asked, newline=self._shell.maps_newlines)
        if said and not self.over and self._output.total == self._asked_at:
            with suppress(ShellError):
                await self._shell.send_input(said)

    def _on_end(self) -> None:
        if not self.over:
            return
        self._when.ended = asyncio.get_running_loop().time()
        if self._reporters and not self._went_on:
            return
        end = self._running.done.result()
        self._output.close()
        self._emit(
            CommandEnded(
                action_id=self._when.action_id,
                session=self._shell.name,
                exit_code=end.exit_code,
                status=end.reason,
                total_bytes=self._output.total,
                oom_kills=end.oom_kills,
            )
        )
        if self._went_on:
            self._noted.forget(self._when.action_id)

    def _report(self, *, timed_out: bool) -> o.CmdOutputObservation:
        return self._ended() if self.over else self._going_on(timed_out=timed_out)

    def _ended(self) -> o.CmdOutputObservation:
        end: CommandEnd = self._running.done.result()
        content, truncated, path = self._output.report(ansi=self._ansi, last=True)
        return o.CmdOutputObservation(
            content=content,
            exit_code=end.exit_code,
            signal=_signal(end.exit_code),
            oom_kills=end.oom_kills,
            status=end.reason,
            cwd=end.cwd,
            session=self._shell.name,
            pid=self._running.pid,
            total_bytes=self._output.total,
            truncated=truncated,
            full_output_path=path,
            state_lost=to_state_lost(end.state_lost) or self._lost_before,
            duration_s=self._duration,
        )

    def _going_on(self, *, timed_out: bool) -> o.CmdOutputObservation:
        if not self._went_on:
            self._went_on = True
            left = Left(self._when.action_id, self._shell.name, self._output.total)
            self._noted.note(left)
        content, truncated, path = self._output.report(ansi=self._ansi)
        evidence = self._running.wait_evidence
        self._doubt = self._running.waiting if evidence == "unknown" else None
        status: o.CommandStatus = "timeout" if timed_out else "running"
        return o.CmdOutputObservation(
            content=content,
            exit_code=None,
            status="waiting_for_input" if evidence else status,
            cwd=self._shell.cwd,
            session=self._shell.name,
            pid=self._running.pid,
            foreground=tuple(self._shell.foreground()),
            total_bytes=self._output.total,
            truncated=truncated,
            full_output_path=path,
            wait_evidence=evidence,
            state_lost=self._lost_before,
            duration_s=self._duration,
        )

    @property
    def _duration(self) -> float:
        return round(asyncio.get_running_loop().time() - self._running.started, 6)


def to_state_lost(lost: StateLost | None) -> o.StateLost | None:
    """The shell's word as the protocol's."""
    if lost is None:
        return None
    return o.StateLost(cause=lost.cause, reason=lost.reason, kept=lost.kept, lost=lost.lost)


def _signal(exit_code: int | None) -> int | None:
    """The signal that a shell means by it."""
    return exit_code - 128 if exit_code is not None and 128 < exit_code <= 128 + _SIGNALS else None
