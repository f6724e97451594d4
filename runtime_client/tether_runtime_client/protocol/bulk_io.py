"""A bulk stream as blocking code sees it: files are read and written in threads of their own.

The thread has the connection's socket for as long as it works: see `bulk_socket`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import ValidationError

from .bulk import BulkFrame, BulkStream, EndFrame, FailFrame, HoleFrame, bulk_adapter
from .bulk_socket import BulkSocket
from .errors import TransferError
from .frames import encode
from .holes import ZEROS, zeros
from .limits import BULK_CHUNK, MAX_HOLE, MAX_HOLES
from .notes import NoteBook

T = TypeVar("T")
Lent = BulkSocket[BulkFrame]
TransferProgress = Callable[[int, int | None], None]
"""Told on the loop how many bytes have crossed, and of how many where that is known."""


async def on_socket(stream: BulkStream, work: Callable[[Lent], T]) -> T:
    """Run blocking work with the stream's socket in a thread; cancelled, it cuts the connection.

    Afterwards the stream can be read and written again. Raises `TransferError` when it is closed.
    """
    try:
        lent = await stream.lend()
    except asyncio.CancelledError:
        stream.abort("cancelled")
        raise
    try:
        return await in_thread(lambda: work(lent), lambda: stream.abort("cancelled"))
    finally:
        stream.take_back(lent)


def told_on_loop(progress: TransferProgress | None) -> TransferProgress | None:
    """The same for another thread to call: it is not waited for. Made on the loop."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()
    return lambda done, total: _tell(loop, progress, done, total)


def _tell(
    loop: asyncio.AbstractEventLoop, progress: TransferProgress, done: int, total: int | None
) -> None:
    loop.call_soon_threadsafe(progress, done, total)


async def in_thread(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Run blocking work in a thread of its own.

    When the caller is cancelled, `stop` must make the work end soon; its end is waited for, so
    that whatever it cleans up is gone when the cancellation goes on.
    """
    executor = ThreadPoolExecutor(1, "tether-bulk")
    working = asyncio.get_running_loop().run_in_executor(executor, work)
    executor.shutdown(wait=False)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop()
        await _settled(working)
        raise


async def _settled(working: asyncio.Future[T]) -> None:
    """Wait for the end, however often the caller is cancelled meanwhile."""
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            continue
    working.exception()  # it has been looked at


class BulkReader:
    """What the peer sends, for the thread that has the socket.

    At the end the peer's `EndFrame` is checked against what came. Every way of not getting there
    raises `TransferError`. `progress` is called by the thread.
    """

    def __init__(
        self,
        lent: Lent,
        *,
        announced: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._lent = lent
        self._announced = announced
        self._progress = progress
        self._digest = hashlib.sha256()
        self._count = 0
        self._left = memoryview(b"")
        self._hole = 0
        self._holes = 0
        self.end: EndFrame | None = None

    def chunk(self) -> memoryview:
        """The next bytes, good until the next call; empty when all came and were what was sent.

        Of a hole comes piece by piece a part of `holes.ZEROS`.
        """
        while self.end is None:
            if self._hole:
                return self._zeros()
            message = self._lent.receive()
            if isinstance(message, memoryview):
                self._take(message)
                if message:
                    return message
            else:
                self._take_frame(_frame(message) if isinstance(message, bytes) else message)
        return memoryview(b"")

    def read(self, size: int, /) -> memoryview:
        """At most `size` of the next bytes; empty at the end, which is checked as in `chunk`."""
        if not self._left:
            self._left = self.chunk()
        data, self._left = self._left[:size], self._left[size:]
        return data

    def drain(self) -> EndFrame:
        """Read what is left, and return the end as the peer announced it."""
        while self.chunk():
            continue
        assert self.end is not None
        return self.end

    def _take_frame(self, frame: BulkFrame | None) -> None:
        if not isinstance(frame, HoleFrame):
            self.end = self._checked(frame)
            return
        self._hole = frame.bytes
        self._holes += frame.bytes
        if self._holes > MAX_HOLES:
            raise TransferError(f"more than {MAX_HOLES:,} bytes came as holes")

    def _zeros(self) -> memoryview:
        piece = memoryview(ZEROS)[: self._hole]
        self._hole -= len(piece)
        self._take(piece)
        return piece

    def _take(self, data: memoryview) -> None:
        self._count += len(data)
        if self._announced is not None and self._count > self._announced:
            raise TransferError(f"more came than the {self._announced:,} bytes announced")
        self._digest.update(data)
        if self._progress is not None:
            self._progress(self._count, self._announced)

    def _checked(self, message: BulkFrame | None) -> EndFrame:
        if isinstance(message, FailFrame):
            raise TransferError(f"the sender gave up: {message.message[:500]}")
        if message is None:
            why = self._lent.closed_because
            raise TransferError(f"the connection ended after {self._count:,} bytes: {why}")
        if not isinstance(message, EndFrame):
            raise TransferError(f"a {message.type} message has no place in a transfer")
        if (message.bytes, message.sha256) != (self._count, self._digest.hexdigest()):
            raise TransferError("what arrived is not what was sent: size or checksum differ")
        return message


class BulkWriter:
    """What we send, for the thread that has the socket. `progress` is called by the thread."""

    def __init__(
        self,
        lent: Lent,
        *,
        total: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._lent = lent
        self._total = total
        self._progress = progress
        self._digest = hashlib.sha256()
        self._count = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Send bytes as they come; raises `TransferError` once the peer wants no more."""
        view = memoryview(data)
        for start in range(0, len(view), BULK_CHUNK):
            piece = view[start : start + BULK_CHUNK]
            self._digest.update(piece)
            self._lent.send(piece)
            self._tell(len(piece))
        return len(view)

    def hole(self, length: int) -> None:
        """Send that many zeros as what they are."""
        while length > 0:
            part = min(length, MAX_HOLE)
            length -= part
            for piece in zeros(part):
                self._digest.update(piece)
            self._say(HoleFrame(bytes=part))
            self._tell(part)

    def finish(self, files: int = 1, notes: NoteBook | None = None) -> EndFrame:
        """Send the end, which is returned."""
        end = EndFrame(bytes=self._count, sha256=self._digest.hexdigest(), files=files)
        if notes is not None:
            end = end.noting(tuple(notes.first), notes.total)
        self._say(end)
        return end

    def _say(self, frame: EndFrame | HoleFrame) -> None:
        self._lent.send(encode(frame), text=True)

    def _tell(self, count: int) -> None:
        self._count += count
        if self._progress is not None:
            self._progress(self._count, self._total)


def _frame(text: bytes) -> BulkFrame:
    try:
        return bulk_adapter.validate_json(text)
    except ValidationError:
        raise TransferError("the peer sent a malformed bulk frame") from None
