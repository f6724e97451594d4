"""One command in a session, from its start to its last report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..protocol.events import CommandEnded, Event
from ..protocol.observations import CmdOutputObservation, CommandStatus, StateLost
from ..shell import RunningCommand, ShellSession
from .output_log import OutputLog


class Command:
    """Reports what is new since the last report, to whoever asks first.

    Its end is told once: in the report of whoever waits, else as a `CommandEnded` event.
    """

    def __init__(
        self,
        action_id: str,
        shell: ShellSession,
        running: RunningCommand,
        output: OutputLog,
        *,
        ansi: bool,
        emit: Callable[[Event], None],
    ) -> None:
        self._action_id = action_id
        self._shell = shell
        self._running = running
        self._output = output
        self._ansi = ansi
        self._emit = emit
        self._started = time.monotonic()
        self._reporters = 0
        self._wakers: set[asyncio.Future[None]] = set()
        self._waits_answered = 0
        running.done.add_done_callback(lambda _: self._on_end())

    @property
    def over(self) -> bool:
        """Whether the command has ended."""
        return self._running.done.done()

    async def report(
        self, timeout_s: float | None, no_output_timeout_s: float | None = None
    ) -> CmdOutputObservation:
        """Report at the command's end, when it waits for input, or at a timeout."""
        self._reporters += 1
        try:
            timed_out = await self._pause(timeout_s, no_output_timeout_s)
        finally:
            self._reporters -= 1
        return self._observe(timed_out=timed_out)
