"""One started exec, from before its start until nobody needs to know of it any more."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from ..processes import ExitStatus, Process
from ..protocol.errors import AttachedElsewhere
from ..protocol.exec_actions import ExecEntry, ExecStartAction, told_argv
from ..protocol.exec_frames import EndedFrame, OutputName
from ..protocol.observations import ExecObservation
from ..shell.family import Family
from .attachment import Attachment
from .feeder import Feeder
from .kept import Filed, Held, Kept

ABANDONED_S = 600.0
"""A process that is not detached, and that nobody is connected to for so long, is killed: it would
wait for ever, and whoever started it has never let it go.
"""

log = logging.getLogger(__name__)

_ORDER: tuple[OutputName, ...] = ("stdout", "stderr")


class StartedExec:
    """Its streams, its process once it has one, and its end. One owner, on the loop.

    `ready` is done when the process runs; it has the exception of a start that failed. `family`
    knows what has come of a process on a terminal.
    """

    def __init__(self, action_id: str, action: ExecStartAction, folder: Path) -> None:
        self.id = action_id
        self.action = action
        names = _ORDER[:1] if action.tty else _ORDER
        self.outputs: dict[OutputName, Kept] = {
            name: Filed(folder / f"{action_id}.{name}") if action.detach else Held()
            for name in names
        }
        self.feeder = Feeder(self._wake)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process: Process | None = None
        self.family: Family | None = None
        self.end: EndedFrame | None = None
        self._started = time.time()
        self._attachment: Attachment | None = None
        self._has_caller = False
        self._lonely: asyncio.TimerHandle | None = None
        self._wanted = True

    def on_output(self, name: OutputName, data: memoryview) -> None:
        """The process has written."""
        kept = self.outputs[name]
        kept.write(data)
        if kept.is_full and self._wanted and self.process is not None:
            self.process.outputs[_ORDER.index(name)].pause()
        self._wake()

    def release(self, name: OutputName, offset: int) -> None:
        """The caller has taken output: the process may go on."""
        kept = self.outputs[name]
        kept.release(offset)
        if not kept.is_full and self.process is not None:
            self.process.outputs[_ORDER.index(name)].resume()

    def _let_run(self) -> None:
        """Wait for the caller no more: there is no more to come than the pipes hold."""
        self._wanted = False
        if self.process is not None:
            self.process.resume_reading()

    def finish(self, status: ExitStatus, *, timed_out: bool, oom_kills: int) -> ExecObservation:
        """The process has ended, and all it wrote is here."""
        self._wait_for_caller(None)
        stdout, stderr = self.outputs["stdout"], self.outputs.get("stderr")
        end = ExecObservation(
            exit_code=status.exit_code,
            signal=status.signal,
            oom_kills=oom_kills,
            timed_out=timed_out,
            stdout=stdout.first,
            stderr=stderr.first if stderr else b"",
            stdout_bytes=stdout.total,
            stderr_bytes=stderr.total if stderr else 0,
            stdout_path=stdout.path,
            stderr_path=stderr.path if stderr else None,
            pid=self.process.pid if self.process else 0,
            duration_s=time.time() - self._started,
        )
        self.end = EndedFrame(exit_code=end.exit_code, signal=end.signal, timed_out=timed_out)
        for kept in self.outputs.values():
            kept.finish()
        self._wake()
        return end

    def attach(self, stdout: int, stderr: int) -> Attachment:
        """A connection from these offsets, or from where what is kept begins; in place of any
        other.
        """
        if self._attachment is not None:
            self._attachment.replace(AttachedElsewhere(f"another caller has taken exec {self.id}"))
        wanted = {"stdout": stdout, "stderr": stderr}
        begins = {name: kept.begin(wanted[name]) for name, kept in self.outputs.items()}
        for name, offset in begins.items():
            self.release(name, offset)
        self._attachment = Attachment(self, begins.get("stdout", 0), begins.get("stderr", 0))
        return self._attachment

    def on_caller(self, attachment: Attachment) -> None:
        """Somebody has come for that connection."""
        if self._attachment is attachment:
            self._has_caller = True
            self._wait_for_caller(None)

    def detach(self, attachment: Attachment) -> None:
        """That connection has gone."""
        if self._attachment is attachment:
            self._attachment = None
            self._has_caller = False
            self._wait_for_caller(ABANDONED_S)

    def begin(self, process: Process) -> None:
        """It runs, and waits for its caller, unless it is detached."""
        self.process = process
        process.on_exit = self._let_run
        self.ready.set_result(None)
        self._wait_for_caller(ABANDONED_S)

    @property
    def held(self) -> int:
        """Bytes of memory that it takes until its caller has them."""
        return sum(kept.held for kept in self.outputs.values())

    @property
    def entry(self) -> ExecEntry:
        """How it stands."""
        totals = {name: kept.total for name, kept in self.outputs.items()}
        action = self.action
        return ExecEntry(
            id=self.id,
            pid=self.process.pid if self.process is not None else 0,
            argv=told_argv(action),
            started=self._started,
            stdin=action.stdin or action.tty,
            tty=action.tty,
            detach=action.detach,
            attached=self._has_caller,
            exit_code=self.end.exit_code if self.end is not None else None,
            stdin_bytes=self.feeder.taken,
            stdout_bytes=totals.get("stdout", 0),
            stderr_bytes=totals.get("stderr", 0),
        )

    def _wait_for_caller(self, limit_s: float | None) -> None:
        if self._lonely is not None:
            self._lonely.cancel()
            self._lonely = None
        if limit_s is not None and not self.action.detach and self.end is None:
            loop = asyncio.get_running_loop()
            self._lonely = loop.call_later(limit_s, self._abandon)

    def _abandon(self) -> None:
        assert self.process is not None
        log.warning("nobody has come back to exec %s: it is killed", self.id)
        self.process.kill_session()

    def _wake(self) -> None:
        if self._attachment is not None:
            self._attachment.wake()
