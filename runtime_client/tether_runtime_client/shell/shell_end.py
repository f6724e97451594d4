"""How a shell came to its end, or came to be of no use."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

ShellEndCause = Literal["exit", "signal", "out_of_memory", "exec", "broken", "reset", "closed"]


@dataclass(frozen=True, slots=True)
class ShellEnd:
    """`exit_code` is as `$?` has it, 128 + n for signal n; None where the shell did not end."""

    cause: ShellEndCause
    reason: str
    exit_code: int | None = None


RESET = ShellEnd("reset", "the session was reset")
CLOSED = ShellEnd("closed", "the session was closed")
REPLACED = ShellEnd("exec", "the shell was replaced by a program that waits for input (exec)")
DEAF = ShellEnd("broken", "the shell no longer reads its commands")
UNREAD = ShellEnd("broken", "the command's line or its report was lost: it may not have been run")
UNREPORTED = ShellEnd("broken", "the shell reads commands again, but its report was lost")
PROMPTING = ShellEnd(
    "broken", "the shell runs what its prompt variables say (PROMPT_COMMAND), and not the command"
)
STUCK = ShellEnd(
    "broken",
    "the shell waits for one of its jobs instead of going on, as bash does when it could not fork",
)
CAUGHT = ShellEnd(
    "broken",
    "the shell is caught in its handler of an interrupt, as bash can be without job control",
)
FILELESS = ShellEnd("broken", "the shell may open no files any more (ulimit -n)")
HUNG_UP = ShellEnd("broken", "the shell's terminal was hung up (vhangup)")


def shell_ended(exit_code: int | None) -> ShellEnd:
    """The end of the process; `exit_code` is a signal's negative number, as subprocess has it."""
    if exit_code is None:
        return ShellEnd("exit", "the shell ended")
    if exit_code >= 0:
        return ShellEnd("exit", f"the shell exited with status {exit_code}", exit_code)
    name = signal.Signals(-exit_code).name
    return ShellEnd("signal", f"the shell was killed by {name}", 128 - exit_code)


KILLED = shell_ended(-signal.SIGKILL)
MEMORY_RAN_OUT = ShellEnd(
    "out_of_memory", "the kernel killed the shell because memory had run out", KILLED.exit_code
)
