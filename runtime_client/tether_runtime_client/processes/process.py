"""A running process: its end, its output, its input, its signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tether_runtime_client.oom_score import raise_oom_score
from tether_runtime_client.proctree import read_process, send, snapshot

from .exits import watch_exit
from .pipes import InputPipe, OutputPipe


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: with a `code` (0 to 255) or by a `signal`; the other is None.

    Both are None when something else in this client has collected it: a defect there.
    """

    code: int | None
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """One number as shells give it: the code, or 128 + the signal (255 when unknown)."""
        if self.code is not None:
            return self.code
        return 255 if self.signal is None else 128 + self.signal


class Process:
    """A process that leads its own session and process group. Made by `start_process`.

    `wait` may be called any number of times, before or after the end. `close` gives up the pipes
    and the watch; the process itself goes on, unless it was killed.
    """

    def __init__(
        self, pid: int, outputs: list[OutputPipe], stdin: InputPipe | None, oom_score: int | None
    ) -> None:
        self.pid = pid
        #: Clock ticks since boot; with the pid it names the process for good.
        self.started = _start_time(pid)
        self._stdin = stdin
        #: Its standard output and error, or a terminal's only stream.
        self.outputs = outputs
        #: Called when it has ended, before its last output is read.
        self.on_exit: Callable[[], None] | None = None
        self._undrained = 0
        self._status: ExitStatus | None = None
        self._collected = False
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._forget_exit = watch_exit(pid, self._on_exit)
        if oom_score is not None:
            raise_oom_score(pid, oom_score)

    @property
    def status(self) -> ExitStatus | None:
        """How it ended; None while it runs or while its last output is being read."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> ExitStatus:
        """Wait for the end and for all output the process itself has written.

        Output of processes it leaves behind is not waited for. While reading is paused and there
        is output, this waits too. Safe to cancel.
        """
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> bool:
        """Signal the whole process group; False when nothing of it is left.

        Once the process has ended, this reaches what is left of its session.
        """
        if self._collected:
            return self._signal_left(number)
        try:
            os.killpg(self.pid, number)  # not collected, so the number is still its own
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def kill(self) -> bool:
        """SIGKILL to the whole group; see `signal`."""
        return self.signal(signal.SIGKILL)

    def kill_session(self) -> None:
        """SIGKILL to all of its session: the jobs of a shell are groups of their own."""
        if not self._collected:
            self.kill()
        self._signal_left(signal.SIGKILL)

    async def write_stdin(self, data: bytes) -> None:
        """Write to standard input; returns when the pipe has taken it.

        Raises BrokenPipeError when the process does not read any more. Only with `stdin=PIPE`.
        """
        if self._stdin is None:
            raise BrokenPipeError("the process was started without a pipe for its standard input")
        await self._stdin.write(data)

    def close_stdin(self) -> None:
        """Give the process end of file. Twice is safe."""
        if self._stdin is not None:
            self._stdin.close()

    def pause_reading(self) -> None:
        """Let the process block on its full pipes. Twice is safe."""
        for output in self.outputs:
            output.pause()

    def resume_reading(self) -> None:
        """Undo `pause_reading`. Twice is safe."""
        for output in self.outputs:
            output.resume()

    def close(self) -> None:
        """Give up the pipes and the watch; who still waits is cancelled. Twice is safe.

        A process that still runs is nobody's to collect afterwards: kill it and wait first. One
        that has ended may have left others behind: they get SIGPIPE when they write.
        """
        self._forget_exit()
        self.close_stdin()
        for output in self.outputs:
            output.close()
        if not self._ended.done():
            self._ended.cancel()

    def _on_exit(self, code: int | None, by_signal: int | None) -> None:
        self._status = ExitStatus(code, by_signal)
        self._collected = True
        if self.on_exit is not None:
            self.on_exit()
        self._undrained = len(self.outputs)
        for output in list(self.outputs):
            output.finish(self._on_drained)
        self.close_stdin()  # only now: what others write because of it is not this one's output
        if not self.outputs:
            self._report()

    def _on_drained(self) -> None:
        self._undrained -= 1
        if self._undrained == 0:
            self._report()

    def _report(self) -> None:
        if self._status is not None and not self._ended.done():
            self._ended.set_result(self._status)

    def _signal_left(self, number: int) -> bool:
        """Processes of the session, whose number nobody else gets while one of them lives."""
        processes = snapshot()
        leader = processes.get(self.pid)
        if leader is not None and leader.started != self.started:
            return False  # the number is in use again, so the session is empty
        left = [one for one in processes.values() if one.sid == self.pid and one.alive]
        sent = [send(process, number) for process in left]
        return any(sent)


def _start_time(pid: int) -> int:
    process = read_process(pid)
    return process.started if process is not None else 0
