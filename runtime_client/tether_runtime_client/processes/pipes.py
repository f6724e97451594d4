"""The two directions of a process's pipes on an asyncio loop, without transports or protocols."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import termios
from collections.abc import Callable

#: One buffer for all pipes of this process: a callback gets a view of it that is good for as
#: long as the callback runs. Only one thread, the loop's, ever reads into it.
_BUFFER = bytearray(256 * 1024)
_VIEW = memoryview(_BUFFER)
#: Reads from one pipe before the loop looks at others.
_READS_IN_A_ROW = 4
#: What an unprivileged process may ask for by default; fewer wake-ups than the usual 64 KiB.
_PIPE_BYTES = 1024 * 1024
_F_SETPIPE_SZ = 1031


def widen(descriptor: int) -> None:
    """Give a pipe more room, where the kernel allows it: an optimisation only."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOMEM, errno.EBUSY):
            raise


class OutputPipe:
    """Reads one output stream of a process and hands it on as it comes.

    `finish` is called once the process has ended: what is in the pipe then is still its output,
    what comes later belongs to processes it has left behind and goes to `on_late` (or nowhere; it
    is read all the same, so that these do not block or die of SIGPIPE).
    """

    def __init__(
        self,
        descriptor: int,
        on_output: Callable[[memoryview], None],
        on_late: Callable[[memoryview], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._on_output: Callable[[memoryview], None] | None = on_output
        self._on_late = on_late
        self._on_drained: Callable[[], None] | None = None
        self._left = 0
        self._reading = False
        self.open = True
        os.set_blocking(descriptor, False)
        self.resume()

    def resume(self) -> None:
        """Read (again). Twice is safe."""
        if self.open and not self._reading:
            self._loop.add_reader(self._descriptor, self._on_readable)
            self._reading = True

    def pause(self) -> None:
        """Stop reading, so that the process blocks once the pipe is full. Twice is safe."""
        if self._reading:
            self._loop.remove_reader(self._descriptor)
            self._reading = False

    def finish(self, on_drained: Callable[[], None]) -> None:
        """Call `on_drained` once what is in the pipe at this moment has been handed on.

        That is at most what a pipe holds, whatever keeps writing. While paused, it waits.
        """
        if not self.open:
            on_drained()
            return
        self._left = self._waiting()
        self._on_drained = on_drained
        self._check_drained()
        while self._on_drained is not None and self._reading and self._read_once():
            pass  # at most what the pipe holds: the end is told in the turn in which it is known

    def close(self) -> None:
        """Give up the pipe; whoever still writes gets SIGPIPE. Twice is safe."""
        if self.open:
            self.pause()
            self.open = False
            os.close(self._descriptor)
            self._left = 0
            self._check_drained()

    def _on_readable(self) -> None:
        for _ in range(_READS_IN_A_ROW):
            if not self._reading or not self._read_once():
                return

    def _read_once(self) -> bool:
        """Read and hand on; False when there is nothing (more)."""
        limit = min(self._left, len(_BUFFER)) if self._on_drained else len(_BUFFER)
        count = self._read(limit)
        if count is None:
            return False
        if count == 0:
            self.close()
            return False
        self._hand_on(_VIEW[:count])
        return self._may_have_more(count, limit)

    def _read(self, limit: int) -> int | None:
        """Bytes read into the buffer; 0 at the end, None when there is nothing now."""
        try:
            return os.readv(self._descriptor, [_VIEW[:limit]])
        except BlockingIOError:
            return None

    def _may_have_more(self, count: int, limit: int) -> bool:
        """Whether to read again at once."""
        return count == limit

    def _waiting(self) -> int:
        """Bytes that are in the pipe now."""
        return _bytes_waiting(self._descriptor)

    def _hand_on(self, data: memoryview) -> None:
        sink = self._on_output
        if self._on_drained:
            self._left -= len(data)
        try:
            if sink is not None:
                sink(data)
        finally:  # an error in the callback is the loop's to report; the process goes on
            self._check_drained()

    def _check_drained(self) -> None:
        if self._on_drained is not None and self._left <= 0:
            on_drained, self._on_drained = self._on_drained, None
            self._on_output = self._on_late
            on_drained()


class InputPipe:
    """Writes a process's standard input. The process may stop reading at any time."""

    def __init__(self, descriptor: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._waiting = memoryview(b"")
        self._written: asyncio.Future[None] | None = None
        self._close_when_written = False
        self.open = True
        os.set_blocking(descriptor, False)

    def feed(self, data: bytes) -> None:
        """Write all of `data` as the process takes it, then close. The only call then."""
        self._close_when_written = True
        self._waiting = memoryview(data)
        self._write_some()

    async def write(self, data: bytes) -> None:
        """Write `data`; returns when the pipe has taken all of it.

        One write at a time. Raises BrokenPipeError when the process no longer reads, or when
        `close` was called meanwhile. Cancelled, it may have written a part.
        """
        if not self.open:
            raise BrokenPipeError(errno.EPIPE, "the process's standard input is closed")
        if self._waiting:
            raise RuntimeError("another write to this process is still under way")
        self._waiting = memoryview(data)
        self._write_some()
        if self._waiting:
            self._written = self._loop.create_future()
            await self._written_or_cancelled(self._written)
        if not self.open:
            raise BrokenPipeError(errno.EPIPE, "the process has closed its standard input")

    def close(self) -> None:
        """Give the process end of file. Twice is safe."""
        if self.open:
            self._stop_watching()
            self.open = False
            os.close(self._descriptor)
        if self._written is not None and not self._written.done():
            self._written.set_result(None)

    async def _written_or_cancelled(self, written: asyncio.Future[None]) -> None:
        try:
            await written
        except asyncio.CancelledError:
            self._stop_watching()
            raise

    def _write_some(self) -> None:
        try:
            while self._waiting:
                count = os.write(self._descriptor, self._waiting)
                self._waiting = self._waiting[count:]
        except BlockingIOError:
            self._loop.add_writer(self._descriptor, self._write_some)
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.close()  # it has what it wanted: `head -1` is no error
            return
        self._all_written()

    def _all_written(self) -> None:
        self._stop_watching()
        if self._close_when_written:
            self.close()
        elif self._written is not None and not self._written.done():
            self._written.set_result(None)

    def _stop_watching(self) -> None:
        self._waiting = memoryview(b"")
        if self.open:
            self._loop.remove_writer(self._descriptor)


def _bytes_waiting(descriptor: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]
