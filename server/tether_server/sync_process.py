"""A process in a sandbox, for code that does not use asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tether_runtime_client.protocol.exec_frames import OutputName

from .loop_thread import LoopThread
from .process import Process
from .process_streams import ProcessInput, ProcessOutput
from .sync_iteration import iterate


class SyncProcess:
    """As `Process`; each method returns when it is done. Any number of threads may use it."""

    def __init__(self, thread: LoopThread, process: Process) -> None:
        self._thread = thread
        self._process = process
        self.id = process.id
        self.pid = process.pid
        self.stdin = SyncProcessInput(thread, process.stdin)
        self.stdout = SyncProcessOutput(thread, process.stdout)
        self.stderr = SyncProcessOutput(thread, process.stderr)

    @property
    def exit_code(self) -> int | None:
        """How it ended, 128 + n for signal n; None while it runs."""
        return self._process.exit_code

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""
        return self._process.signal

    @property
    def timed_out(self) -> bool:
        """Whether its time was over."""
        return self._process.timed_out

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code; raises `TimeoutError` when it has not ended by then, and goes on."""
        return self._thread.call(_wait, self._process, timeout_s)

    def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        """Send `data` and the end of the input, read both streams to their ends, and wait."""
        return self._thread.call(self._process.communicate, data)

    def merged(self) -> Iterator[tuple[OutputName, bytes]]:
        """Both streams as they come, each piece with the name of its stream."""
        return iterate(self._thread, self._process.merged())

    def send_signal(self, number: int | str) -> None:
        """Signal its whole process group, by number or name. Nothing happens once it has ended."""
        self._thread.call(self._process.send_signal, number)

    def terminate(self) -> None:
        """SIGTERM to the whole group."""
        self._thread.call(self._process.terminate)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        self._thread.call(self._process.kill)

    def resize(self, rows: int, cols: int) -> None:
        """Its terminal has another size now."""
        self._thread.tell(self._process.resize, rows, cols)

    def close(self) -> None:
        """Let go of the process, which goes on. Twice is safe."""
        self._thread.call(self._process.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.call(self._process.__aexit__, kind, error, traceback)


class SyncProcessOutput:
    """As `ProcessOutput`. Iterating it gives its lines."""

    def __init__(self, thread: LoopThread, output: ProcessOutput) -> None:
        self._thread = thread
        self._output = output

    def read(self, limit: int = -1) -> bytes:
        """The next bytes, at most `limit` of them; all to the end when it is negative."""
        return self._thread.call(self._output.read, limit)

    def readline(self) -> bytes:
        """The next line with its line feed, at most 1 MiB of it; empty at the end."""
        return self._thread.call(self._output.readline)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def discard(self) -> None:
        """What has not been read, and what will come, is not wanted."""
        self._thread.tell(self._output.discard)


class SyncProcessInput:
    """As `ProcessInput`."""

    def __init__(self, thread: LoopThread, stdin: ProcessInput) -> None:
        self._thread = thread
        self._stdin = stdin

    def write(self, data: bytes) -> None:
        """Send to the process; raises `StdinClosed` when it reads no more."""
        self._thread.call(self._stdin.write, data)

    def close(self) -> None:
        """Send the end of the input. Twice is safe."""
        self._thread.tell(self._stdin.close)


async def _wait(process: Process, timeout_s: float | None) -> int:
    async with asyncio.timeout(timeout_s):
        return await process.wait()
