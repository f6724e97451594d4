"""What execs come to."""

from __future__ import annotations

from typing import Literal

from .exec_actions import ExecEntry
from .observation import Observation


class ExecObservation(Observation):
    """The end of a process. `exit_code` is 128 + `signal` when a signal ended it; `oom_kills`
    counts the processes of the sandbox that the kernel killed meanwhile for want of memory.

    `stdout` and `stderr` hold the first part of each stream; where `*_bytes` is more than that,
    the whole is in the sandbox at `*_path`. There is no path for what went to whoever was
    connected to it, and none where the disk was full.
    """

    observation: Literal["exec"] = "exec"
    exit_code: int
    signal: int | None = None
    oom_kills: int = 0
    timed_out: bool = False
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_path: str | None = None
    stderr_path: str | None = None
    pid: int = 0
    duration_s: float = 0.0


class ExecAttachedObservation(Observation):
    """An exec may be connected to now, with this ticket: `exec` says how it stands.

    Of its streams come the bytes from `stdout` and `stderr` on, which are more than what was asked
    for where that is not kept, and it wants those of its standard input from `stdin` on.
    """

    observation: Literal["exec_attached"] = "exec_attached"
    ticket: str
    exec: ExecEntry
    stdin: int = 0
    stdout: int = 0
    stderr: int = 0


class ListExecsObservation(Observation):
    """What runs, oldest first, and what has ended lately."""

    observation: Literal["list_execs"] = "list_execs"
    execs: tuple[ExecEntry, ...]
