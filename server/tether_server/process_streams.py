"""The near ends of a process's streams: bounded buffers that say when there is news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from tether_runtime_client.protocol.errors import StdinClosed, TetherError, TransferError
from tether_runtime_client.protocol.limits import EXEC_WINDOW, MAX_SEQUENCE

LINE_LIMIT = 1024 * 1024
"""A longer line comes in pieces of this length: what a sandbox says may have no end."""

TELL_EVERY = EXEC_WINDOW // 4
"""The sandbox is told what was taken whenever it is this much more."""


class Bell:
    """Wakes everybody who waits at that moment."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """There is news."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def heard(self) -> None:
        """Return at the next ring."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)


class ProcessOutput:
    """Standard output or error of a process, as bytes. Iterating it gives its lines, as `readline`.

    At most half a MiB waits here; while nobody reads, the process waits (unless it is detached).
    What has come is there also when the process has ended, and an error of the connection is
    raised behind it. One reader.
    """

    def __init__(self, bell: Bell, tell: Callable[[], None], offset: int = 0) -> None:
        self._bell = bell
        self._tell = tell
        self._buffer = bytearray()
        self._discarded = False
        self._error: TetherError | None = None
        self._received = offset
        self._skip = 0
        self.ended = False
        self.told = offset

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self.ended and not self._buffer

    async def read(self, limit: int = -1) -> bytes:
        """The next bytes, at most `limit` of them; all to the end when it is negative.

        Empty at the end only. Raises the `TetherError` that keeps the rest from coming.
        """
        if limit >= 0:
            return self._take(limit) if not limit or await self._available() else b""
        chunks = []
        while data := await self.read(EXEC_WINDOW):
            chunks.append(data)
        return b"".join(chunks)

    async def readline(self) -> bytes:
        """The next line with its line feed; what is left at the end; empty after that.

        A line longer than 1 MiB comes in pieces of that length, the last with the line feed.
        """
        line = b""
        while len(line) < LINE_LIMIT and await self._available():
            at = self._buffer.find(b"\n") + 1
            line += self._take(min(at or len(self._buffer), LINE_LIMIT - len(line)))
            if at and line.endswith(b"\n"):
                break
        return line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    def discard(self) -> None:
        """What has not been read, and what will come, is not wanted: the process never waits."""
        self._discarded = True
        self._buffer.clear()
        self._tell()

    # --- what the connection calls

    @property
    def taken(self) -> int:
        """What the sandbox need not keep any more."""
        return MAX_SEQUENCE if self._discarded else self._received - len(self._buffer)

    @property
    def news(self) -> bool:
        """Whether the sandbox is to be told of it now: there is much, or that was all."""
        untold = self.taken - self.told
        return untold >= TELL_EVERY or (untold > 0 and not self._buffer)

    def take_now(self) -> bytes:
        """What is there."""
        return self._take(len(self._buffer))

    def check(self) -> None:
        """Raises the error that ended the stream, once what came before was read."""
        if self._error is not None and not self._buffer:
            raise self._error

    def begin(self, offset: int) -> None:
        """A new connection sends from that offset on, some of it perhaps again."""
        if offset > self._received and not self._discarded:
            lost = offset - self._received
            raise TransferError(f"{lost:,} bytes of output have gone to another caller")
        self._skip = max(0, self._received - offset)
        self.told = offset

    def feed(self, data: bytes) -> None:
        """Take what came; raises `TransferError` for more than was allowed."""
        if self._discarded:
            return
        if self._skip:
            data, self._skip = data[self._skip :], max(0, self._skip - len(data))
        self._received += len(data)
        self._buffer += data
        if len(self._buffer) > EXEC_WINDOW:
            raise TransferError("the sandbox sent more output than it may")
        self._bell.ring()

    def end(self, total: int) -> None:
        """That was all of it."""
        if total != self._received and not self._discarded:
            raise TransferError(f"{self._received} bytes of output came, and {total} were told")
        self.ended = True
        self._bell.ring()

    def fail(self, error: TetherError) -> None:
        """No more will come. Nothing happens to a stream that has ended."""
        if not self.ended:
            self._error = error
            self.ended = True
            self._bell.ring()

    def lose(self, error: TetherError) -> None:
        """The rest is lost, and none of it is waited for."""
        self.fail(error)
        self._discarded = True

    async def _available(self) -> bool:
        """Return when there is something, or nothing will come any more; whether there is."""
        while not self._buffer and not self.ended:
            await self._bell.heard()
        self.check()
        return bool(self._buffer)

    def _take(self, count: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[: len(data)]
        if self.news:
            self._tell()
        return data


class ProcessInput:
    """Standard input of a process; `given` says whether it has one. One writer."""

    def __init__(
        self, bell: Bell, tell: Callable[[], None], offset: int = 0, *, given: bool = True
    ) -> None:
        self._bell = bell
        self._tell = tell
        self._kept = bytearray()
        self._error: TetherError | None = None
        self._taken = offset
        self.total = offset
        self.ending = False
        self.given = given
        if not given:
            self.fail(StdinClosed("the process has no input", hint="Start it with `stdin=True`"))

    async def write(self, data: bytes) -> None:
        """Send to the process; returns when it has taken all but the last half MiB.

        Raises `StdinClosed` when it takes no more, has ended, or was started without an input.
        """
        if self.ending:
            raise StdinClosed("the end of the input was sent before")
        view = memoryview(data)
        while view:
            while self._error is None and self.total - self._taken >= EXEC_WINDOW:
                await self._bell.heard()
            if self._error is not None:
                raise self._error
            piece = view[: EXEC_WINDOW - (self.total - self._taken)]
            self._kept += piece
            self.total += len(piece)
            view = view[len(piece) :]
            self._tell()

    def close(self) -> None:
        """Send the end of the input, behind what was written. Twice is safe."""
        self.ending = True
        self._tell()

    # --- what the connection calls

    def check(self, offset: int) -> None:
        """A new connection wants what was written from that offset on."""
        if self._error is None and not self._taken <= offset <= self.total:
            raise TransferError("another caller has written to the process meanwhile")

    def since(self, offset: int, limit: int) -> bytes:
        """What was written from that offset on; nothing once nobody takes it any more."""
        if self._error is not None:
            return b""
        at = offset - self._taken
        return bytes(memoryview(self._kept)[at : at + limit])

    def take(self, offset: int) -> None:
        """The process has taken everything before `offset`."""
        if not self._taken <= offset <= self.total:
            raise TransferError("the sandbox took input that it was not sent")
        del self._kept[: offset - self._taken]
        self._taken = offset
        self._bell.ring()

    def fail(self, error: TetherError) -> None:
        """Nobody takes it any more. The first word counts."""
        if self._error is None:
            self._error = error
            self._kept.clear()
            self._bell.ring()
