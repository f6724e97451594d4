"""The process of a kernel: watched without asking, and told how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from tether_runtime_client.plugin.processes import OomKills
from tether_runtime_client.protocol.jupyter import KernelEnd, KernelEndCause
from tether_runtime_client.protocol.render import HeadTail

from . import limits
from .text import plain


class KernelProcess:
    """One owner, on the loop. `on_end` is called once; `close` gives free what is held."""

    def __init__(self, popen: subprocess.Popen[bytes], stderr: int, oom_kills: OomKills) -> None:
        self.pid = popen.pid
        self.ended = asyncio.Event()
        self.end: KernelEnd | None = None
        self.on_end: Callable[[KernelEnd], None] = lambda _: None
        self.asked: KernelEndCause | None = None
        self.why = ""
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._oom_kills = oom_kills
        self._mark = oom_kills.mark()
        self._output = HeadTail(limits.STDERR)
        self._stderr = stderr
        os.set_blocking(stderr, False)
        self._loop.add_reader(stderr, self._read)
        self._pidfd = -1
        self._waiter: asyncio.Task[None] | None = None
        self._watch()

    @property
    def output(self) -> str:
        """The first and the last of what it wrote to its standard error."""
        return plain(self._output.kept().decode("utf-8", "replace"))

    def interrupt(self) -> None:
        """As C-c does it: the kernel, and what its cell has started."""
        self._signal(signal.SIGINT)

    def kill(self, cause: KernelEndCause, why: str) -> None:
        """End it and its process group at once."""
        self.asked, self.why = self.asked or cause, self.why or why
        self._signal(signal.SIGKILL)

    def memory(self) -> int | None:
        """Bytes that it has in memory."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return None

    def folder(self) -> str | None:
        """Where it is."""
        try:
            return os.readlink(f"/proc/{self.pid}/cwd")
        except OSError:
            return None

    def close(self) -> None:
        """Only after its end. Twice is safe."""
        if self._stderr >= 0:
            self._read()
        if self._stderr >= 0:
            self._close_stderr()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.is_set():  # until then its number is nobody else's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # a kernel without, or a sandbox that hides it
            self._waiter = self._loop.create_task(self._wait())
            return
        self._loop.add_reader(self._pidfd, self._on_exit)

    async def _wait(self) -> None:
        await asyncio.to_thread(os.waitid, os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._on_exit()

    def _on_exit(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        with contextlib.suppress(ProcessLookupError):  # what it has started goes with it
            os.killpg(self.pid, signal.SIGKILL)
        self.ended.set()
        code = self._popen.wait()  # it has ended: this collects it
        if self._stderr >= 0:
            self._read()
        self.end = self._told(code)
        self.on_end(self.end)

    def _told(self, code: int) -> KernelEnd:
        number = -code if code < 0 else None
        exit_code = code if code >= 0 else None
        output = self.output
        if self.asked is not None:
            return KernelEnd(
                cause=self.asked, reason=self.why, exit_code=exit_code, signal=number, output=output
            )
        if number == signal.SIGKILL and self._oom_kills.since(self._mark):
            reason = "the machine's kernel killed it, because memory had run out"
            return KernelEnd(cause="out_of_memory", reason=reason, signal=number, output=output)
        if number is not None:
            name = _name(number)
            reason = f"it was ended by signal {number} ({name})"
            return KernelEnd(cause="signal", reason=reason, signal=number, output=output)
        reason = f"its process exited with code {code}"
        return KernelEnd(cause="exit", reason=reason, exit_code=exit_code, output=output)

    def _read(self) -> None:
        """All that is there, up to what a pipe holds."""
        for _ in range(16):
            try:
                data = os.read(self._stderr, 64 * 1024)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close_stderr()
                return
            self._output.write(data)

    def _close_stderr(self) -> None:
        self._loop.remove_reader(self._stderr)
        os.close(self._stderr)
        self._stderr = -1


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
