"""A command while it runs, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from .shell_end import ShellEndCause

WaitEvidence = Literal["exact", "inferred", "unknown"]
EndReason = Literal["completed", "interrupted", "session_ended"]


class OutputSink(Protocol):
    """Takes one command's output. Called on the loop with what was read; must not block.

    The data may be a view of a buffer that is used again: copy what is kept.
    """

    def write(self, data: memoryview | bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class StateLost:
    """A shell was replaced: why, what the new one has again, and what it has not."""

    cause: ShellEndCause
    reason: str
    kept: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended.

    `exit_code` is 0 to 255, or None where no shell could say. `cwd` is the session's directory
    after it. `state_lost` is set when the shell was replaced, by this command or since the last.
    `oom_kills` counts the processes that the kernel killed meanwhile because memory ran out.
    """

    exit_code: int | None
    reason: EndReason
    cwd: str
    state_lost: StateLost | None = None
    detail: str = ""
    oom_kills: int = 0


class RunningCommand:
    """A command that was handed to the shell. Made by `ShellSession.start_command`.

    `done` resolves once, with a CommandEnd, after all of its output went to the sink; cancelling
    it changes nothing for the command. `pid` is the shell's.
    """

    def __init__(self, command: str, sink: OutputSink, *, hidden: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.command = command
        self.hidden = hidden
        self.started = loop.time()
        self.total_bytes = 0
        self.pid = 0
        self.done: asyncio.Future[CommandEnd] = loop.create_future()
        self.sink = sink
        self.watchers: list[Callable[[], None]] = []
        """Called at once when the command ends or waits: a future's callbacks come a turn later."""
        self.asks_terminal: Callable[[], bool] | None = None
        """Whether a program in raw mode waits for the terminal itself, which will answer it."""
        self._waiting: asyncio.Future[WaitEvidence] | None = None

    @property
    def waiting(self) -> asyncio.Future[WaitEvidence]:
        """Resolves as soon as the command is seen to wait for input on its terminal.

        After input, or output, the property gives a new future: take it anew for every wait.
        It never resolves for a command that ends without waiting.
        """
        if self._waiting is None:
            self._waiting = self.done.get_loop().create_future()
        return self._waiting

    @property
    def wait_evidence(self) -> WaitEvidence | None:
        """How certain it is that the command waits for input now; None when it does not."""
        waiting = self._waiting
        if waiting is None or not waiting.done() or waiting.cancelled() or self.done.done():
            return None
        return waiting.result()

    def now_waits(self, evidence: WaitEvidence) -> None:
        """Called by the session."""
        if self.wait_evidence == "unknown" != evidence:
            self._waiting = None  # now there is something to go by
        if not self.waiting.done():
            self.waiting.set_result(evidence)
            self._tell()

    def now_active(self) -> None:
        """Called by the session: the command got input or wrote, so an earlier wait is over."""
        if self._waiting is not None and self._waiting.done():
            self._waiting = None

    def finish(self, end: CommandEnd) -> None:
        """Called by the session."""
        if not self.done.done():
            self.done.set_result(end)
            self._tell()

    def _tell(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()
