"""Processes without a shell session: run to their end, or started and connected to.

An exec is known by the id of the action that started it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from .action import Action, Environment, Seconds, SignalName, TerminalSide, bytes_not_text
from .limits import MAX_SEQUENCE
from .message import Message

Umask = Annotated[int, Field(ge=0, le=0o777)]
Niceness = Annotated[int, Field(ge=-20, le=19)]
_TOLD = 4096
ByteCount = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]


class ExecAction(Action):
    """Run a process without a terminal, stdout and stderr apart → `ExecObservation`.

    Exactly one of `argv` and `command` (given to `sh -c`). `user` is a name, a uid, or either
    with `:group`; `group` alone keeps the user. Past `timeout_s` the process group is killed and
    the partial output returned. At most `event_limit` bytes of each stream come as events; one
    `OutputOmitted` stands for the rest, which is in the file that the observation names.
    """

    action: Literal["exec"] = "exec"
    argv: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    command: str | None = None
    stdin: bytes = b""
    env: Environment | None = None
    cwd: str | None = None
    user: str | None = None
    group: str | None = None
    umask: Umask | None = None
    nice: Niceness | None = None
    timeout_s: Seconds | None = None
    event_limit: ByteCount | None = None

    _bytes_not_text = field_validator("stdin", mode="before")(bytes_not_text)

    @model_validator(mode="after")
    def _one_of_argv_and_command(self) -> Self:
        _check(self)
        return self


class ExecStartAction(Action):
    """Start a process to connect to with `ExecAttachAction` → `ExecObservation`, at its end.

    Its fields are those of `ExecAction`, but standard input is what comes over the connection, or
    with `stdin=False` empty. The process waits while a stream's output is not taken; with
    `detach` it never waits, and all its output goes to files in the sandbox. With `tty` it has a
    terminal of that size, whose bytes, in and out, are its standard input and output. An empty
    `argv` stands for a login shell there.
    """

    action: Literal["exec_start"] = "exec_start"
    argv: tuple[str, ...] | None = None
    command: str | None = None
    stdin: bool = False
    tty: bool = False
    rows: TerminalSide = 24
    cols: TerminalSide = 80
    detach: bool = False
    env: Environment | None = None
    cwd: str | None = None
    user: str | None = None
    group: str | None = None
    umask: Umask | None = None
    nice: Niceness | None = None
    timeout_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_of_argv_and_command(self) -> Self:
        if self.argv == () and not self.tty:
            raise ValueError("there is no program to run; a login shell needs tty=True")
        _check(self)
        return self


class ExecAttachAction(Action):
    """Connect to an exec, running or ended lately → `ExecAttachedObservation`, at once.

    `stdout` and `stderr` are how many bytes of each the caller has: what follows comes, as far as
    it is kept. There is one connection to an exec: a new one takes the former's place.
    """

    action: Literal["exec_attach"] = "exec_attach"
    target_id: str
    stdout: ByteCount = 0
    stderr: ByteCount = 0


class ExecSignalAction(Action):
    """Send a signal to the process group of a running exec → `DoneObservation`."""

    action: Literal["exec_signal"] = "exec_signal"
    target_id: str
    signal: SignalName = "SIGTERM"


class ListExecsAction(Action):
    """List what `ExecStartAction` has started: what runs and what ended lately
    → `ListExecsObservation`.
    """

    action: Literal["list_execs"] = "list_execs"


class ExecEntry(Message):
    """A started exec: `id` is its action's, `started` is in seconds since 1970, by the sandbox.

    `argv` is what was asked for, with text as the one word; of a long one the first 4 KiB. The
    byte counts are what its streams have come to, and for `stdin` what was taken. Ended, it has an
    `exit_code`. `stdin`: it was started with an input. `attached`: somebody is connected to it.
    """

    id: str
    pid: int
    argv: tuple[str, ...]
    started: float
    stdin: bool = False
    tty: bool = False
    detach: bool = False
    attached: bool = False
    exit_code: int | None = None
    stdin_bytes: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0


def told_argv(action: ExecStartAction) -> tuple[str, ...]:
    """The `argv` of the action's `ExecEntry`."""
    room, told = _TOLD, []
    for word in (action.command,) if action.command is not None else action.argv or ():
        if room <= 0:
            break
        told.append(word[:room])
        room -= len(word) + 1
    return tuple(told)


def _check(action: ExecAction | ExecStartAction) -> None:
    """Raises `ValueError` unless there is exactly one program, and one group at most."""
    if (action.argv is None) == (action.command is None):
        raise ValueError("give exactly one of argv and command")
    if action.group is not None and ":" in (action.user or ""):
        raise ValueError("the group is given twice: in user and in group")
