"""Exec actions: processes without a terminal, stdout and stderr apart, bytes intact."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..dispatcher import Context
from ..environment import Environment
from ..oom_kills import OomKills
from ..processes import (
    ExitStatus,
    InvalidArgument,
    Process,
    ProcessStartError,
    start_process,
    with_group,
)
from ..protocol import errors as e
from ..protocol.actions import ExecAction, ExecSignalAction
from ..protocol.observations import DoneObservation, ExecObservation
from ..settings import ClientSettings
from . import registry
from .exec_output import ExecOutput
from .signals import signal_number
from .text_shell import TextShell

END_S = 5.0
"""How long a killed process may take to vanish before it is left to the kernel."""


class Execs:
    """Handles `ExecAction` and `ExecSignalAction`. What runs ends when its handler is cancelled."""

    def __init__(
        self, settings: ClientSettings, environment: Environment, oom: OomKills | None = None
    ) -> None:
        self._environment = environment
        self._oom = oom or OomKills(None)
        self._folder = settings.state / "output"
        self._registry = str(settings.state / "sessions")
        self.shell = TextShell(settings.bundled_bash)
        self._running: dict[str, Process] = {}

    def hold_output(self) -> None:
        """Programs wait once their pipes are full."""
        for process in self._running.values():
            process.pause_reading()

    def release_output(self) -> None:
        """They go on. Twice is safe."""
        for process in self._running.values():
            process.resume_reading()

    async def handle(self, action: ExecAction, context: Context) -> ExecObservation:
        """Run a process to its end, or to its timeout, which kills all of its session."""
        started = time.monotonic()
        place = (context.action_id, self._folder, context.emit, action.event_limit)
        stdout, stderr = ExecOutput("stdout", *place), ExecOutput("stderr", *place)
        with start_errors():
            shell = await self.shell.argv() if action.argv is None else ()
            process = self._start(action, shell, stdout, stderr)
        mark = self._oom.mark()
        try:
            with self._noted(context.action_id, process):
                status, timed_out = await end_of(process, action.timeout_s)
        finally:
            stdout.finish()
            stderr.finish()
        return ExecObservation(
            exit_code=status.exit_code,
            signal=status.signal,
            oom_kills=self._oom.since(mark) if status.exit_code else 0,
            timed_out=timed_out,
            stdout=stdout.inline,
            stderr=stderr.inline,
            stdout_bytes=stdout.total,
            stderr_bytes=stderr.total,
            stdout_path=stdout.path,
            stderr_path=stderr.path,
            pid=process.pid,
            duration_s=time.monotonic() - started,
        )

    async def signal(self, action: ExecSignalAction, _: Context) -> DoneObservation:
        """Signal the process group of a running exec."""
        number = signal_number(action.signal)
        process = self._running.get(action.target_id)
        if process is None or not process.signal(number):
            raise e.NoSuchProcess(f"no exec with the id {action.target_id!r} is running")
        return DoneObservation()

    def _start(
        self, action: ExecAction, shell: Sequence[str], stdout: ExecOutput, stderr: ExecOutput
    ) -> Process:
        command = action.command if action.argv is None else action.argv
        assert command is not None, "the action's validator wants one of the two"
        return start_process(
            command,
            lambda stream, data: (stdout if stream == "stdout" else stderr).write(data),
            stdin=action.stdin or None,
            env={**self._environment.of_commands, **(action.env or {})},
            cwd=action.cwd,
            user=with_group(action.user, action.group),
            umask=action.umask,
            nice=action.nice,
            shell=shell,
        )

    @contextmanager
    def _noted(self, action_id: str, process: Process) -> Iterator[None]:
        """Known to `signal`, and to the supervisor, which ends it if this client dies."""
        self._running[action_id] = process
        registry.note(self._registry, process.pid)
        try:
            yield
        finally:
            del self._running[action_id]
            registry.forget(self._registry, process.pid)


async def end_of(process: Process, timeout_s: float | None) -> tuple[ExitStatus, bool]:
    """How it ended, and whether its time was over. Cancelled, it leaves nothing running."""
    try:
        async with asyncio.timeout(timeout_s):
            return await process.wait(), False
    except TimeoutError:
        return await _kill(process), True
    except asyncio.CancelledError:
        await _kill(process)
        raise


async def _kill(process: Process) -> ExitStatus:
    """The group at once, then what is left of its session: jobs of a shell, for one."""
    process.kill()
    try:
        async with asyncio.timeout(END_S):
            return await process.wait()
    except TimeoutError:
        raise e.ProcessError(
            f"process {process.pid} did not end within {END_S:.0f} s of its SIGKILL"
        ) from None
    finally:
        process.signal(signal.SIGKILL)


@contextmanager
def start_errors() -> Iterator[None]:
    """Raise what keeps a process from starting as the protocol's errors."""
    try:
        yield
    except InvalidArgument as problem:
        raise e.InvalidCommand(problem.message, hint=problem.hint, **problem.data) from None
    except ProcessStartError as problem:
        kind = e.ERRORS_BY_CODE[problem.code]
        raise kind(problem.message, hint=problem.hint or None, **problem.data) from None
