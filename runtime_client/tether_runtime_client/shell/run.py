"""One command in one shell: what was sent for it and what came back."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from .command import EndReason, RunningCommand
from .exports import Changes
from .reports import ReportTo
from .status import StatusRecord

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL)
_MORE = re.compile(r"[\n;&({`]|\|\|")  # where a command may have more than one program in a row


@dataclass(slots=True)
class Request:
    """A command, what holds for it alone, what is to be exported before it (None: unset), and
    what was typed before a shell could run it.
    """

    command: RunningCommand
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    exports: Changes = field(default_factory=dict)
    typed: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Run:
    """One request in one shell: what was sent for it and what came back."""

    request: Request
    to: ReportTo
    repeats: int = 0
    idle_looks: int = 0
    result: StatusRecord | None = None
    typed: bool = False
    signals: set[int] = field(default_factory=set)
    may_trap: bool = False  # whether a trap of the shell may run something after a signal

    @property
    def command(self) -> RunningCommand:
        return self.request.command

    def as_meant(self, record: StatusRecord) -> StatusRecord:
        """bash before 5.2 reports a line that an interrupt cut while it was read as bad syntax."""
        unread = record.torn and record.exit_code == 2 and not self.command.total_bytes
        return record._replace(exit_code=128 + signal.SIGINT) if unread else record

    def may_go_on_after(self, number: int) -> bool:
        """Whether it may have more to run behind what this signal ends."""
        return number in _ENDING and _MORE.search(self.command.command) is not None

    def reason(self, record: StatusRecord) -> EndReason:
        """How it ended, by the report of a shell that goes on."""
        number = record.exit_code - 128
        if number in self.signals or (record.torn and number == signal.SIGINT):
            return "interrupted"
        return "completed"

    @property
    def lost(self) -> bool:
        """Whether the command never began, though nobody interrupted it from here.

        An error can abandon a whole line, and a program that dies of SIGINT does; `$?` is not 0
        then. Between commands it is 0, so 0 means that the line never arrived.
        """
        result = self.result
        if result is None or not result.torn or self.signals:
            return False
        return result.repeat > 1 or result.exit_code == 0


def fresh_nonce() -> bytes:
    """A value that no command can guess."""
    return os.urandom(8).hex().encode()
