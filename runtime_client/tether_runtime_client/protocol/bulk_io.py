"""A bulk stream as blocking code sees it: files are read and written in threads of their own.

The event loop moves messages, the thread does everything that may wait for a disk. Between them
stand one message each way and the stream's own short queue, so memory stays flat.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .bulk import BulkFrame, BulkStream, EndFrame, FailFrame, HoleFrame
from .errors import TransferError
from .holes import ZEROS, zeros
from .limits import BULK_CHUNK, MAX_HOLE, MAX_HOLES
from .notes import NoteBook

T = TypeVar("T")
TransferProgress = Callable[[int, int | None], None]
"""Told on the loop how many bytes have crossed, and of how many where that is known."""


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
    """What the peer sends, for one thread. Made on the loop.

    At the end the peer's `EndFrame` is checked against what came. Every way of not getting there
    raises `TransferError`.
    """

    def __init__(
        self,
        stream: BulkStream,
        *,
        announced: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._stream = stream
        self._announced = announced
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._digest = hashlib.sha256()
        self._arrived = 0
        self._count = 0
        self._next: Future[bytes | BulkFrame | None] | None = None
        self._left = memoryview(b"")
        self._hole = 0
        self._holes = 0
        self.end: EndFrame | None = None

    def chunk(self) -> bytes | memoryview:
        """The next bytes; empty when all came and were what the peer says it sent.

        Of a hole comes piece by piece a part of `holes.ZEROS`.
        """
        while self.end is None:
            if self._hole:
                return self._zeros()
            message = (self._next or self._request()).result()
            self._next = None
            if isinstance(message, bytes):
                self._next = self._request()
                self._take(message)
                if message:
                    return message
            elif isinstance(message, HoleFrame):
                self._begin_hole(message.bytes)
            else:
                self.end = self._checked(message)
        return b""

    def read(self, size: int, /) -> memoryview:
        """At most `size` of the next bytes; empty at the end, which is checked as in `chunk`."""
        if not self._left:
            self._left = memoryview(self.chunk())
        data, self._left = self._left[:size], self._left[size:]
        return data

    def drain(self) -> EndFrame:
        """Read what is left, and return the end as the peer announced it."""
        while self.chunk():
            continue
        assert self.end is not None
        return self.end

    def _request(self) -> Future[bytes | BulkFrame | None]:
        return asyncio.run_coroutine_threadsafe(self._read(), self._loop)

    async def _read(self) -> bytes | BulkFrame | None:
        message = await self._stream.read()
        if isinstance(message, bytes | HoleFrame):
            self._arrived += len(message) if isinstance(message, bytes) else message.bytes
            if self._progress is not None:
                self._progress(self._arrived, self._announced)
        return message

    def _begin_hole(self, length: int) -> None:
        self._hole = length
        self._holes += length
        if self._holes > MAX_HOLES:
            raise TransferError(f"more than {MAX_HOLES:,} bytes came as holes")

    def _zeros(self) -> memoryview:
        piece = memoryview(ZEROS)[: self._hole]
        self._hole -= len(piece)
        self._take(piece)
        return piece

    def _take(self, data: bytes | memoryview) -> None:
        self._count += len(data)
        if self._announced is not None and self._count > self._announced:
            raise TransferError(f"more came than the {self._announced:,} bytes announced")
        self._digest.update(data)

    def _checked(self, message: BulkFrame | None) -> EndFrame:
        if isinstance(message, FailFrame):
            raise TransferError(f"the sender gave up: {message.message[:500]}")
        if message is None:
            why = self._stream.closed_because
            raise TransferError(f"the connection ended after {self._count:,} bytes: {why}")
        if not isinstance(message, EndFrame):
            raise TransferError(f"a {message.type} message has no place in a transfer")
        if (message.bytes, message.sha256) != (self._count, self._digest.hexdigest()):
            raise TransferError("what arrived is not what was sent: size or checksum differ")
        return message


class BulkWriter:
    """What we send, for one thread. Made on the loop. Small writes are gathered."""

    def __init__(
        self,
        stream: BulkStream,
        *,
        total: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._stream = stream
        self._total = total
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._digest = hashlib.sha256()
        self._count = 0
        self._gathered = bytearray()
        self._sending: Future[None] | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Send bytes; raises `TransferError` once the peer is gone."""
        self._gathered += data
        if len(self._gathered) >= BULK_CHUNK:
            self._flush()
        return len(data)

    def chunk(self, data: bytes) -> None:
        """Send one message, at most `BULK_CHUNK` bytes, without gathering or copying."""
        self._flush()
        self._send(data)

    def hole(self, length: int) -> None:
        """Send that many zeros as what they are."""
        self._flush()
        while length > 0:
            part = min(length, MAX_HOLE)
            length -= part
            for piece in zeros(part):
                self._digest.update(piece)
            self._count += part
            self._wait()
            saying = self._say(HoleFrame(bytes=part), self._count)
            self._sending = asyncio.run_coroutine_threadsafe(saying, self._loop)

    def finish(self, files: int = 1, notes: NoteBook | None = None) -> EndFrame:
        """Send what is left and then the end, which is returned."""
        self._flush()
        self._wait()
        end = EndFrame(bytes=self._count, sha256=self._digest.hexdigest(), files=files)
        if notes is not None:
            end = end.noting(tuple(notes.first), notes.total)
        asyncio.run_coroutine_threadsafe(self._say(end), self._loop).result()
        return end

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        for start in range(0, len(gathered), BULK_CHUNK):
            self._send(bytes(gathered[start : start + BULK_CHUNK]))

    def _send(self, data: bytes) -> None:
        """One message is on its way while the next is made."""
        self._digest.update(data)
        self._count += len(data)
        self._wait()
        writing = self._write(data, self._count)
        self._sending = asyncio.run_coroutine_threadsafe(writing, self._loop)

    def _wait(self) -> None:
        if self._sending is not None:
            self._sending.result()

    async def _write(self, data: bytes, count: int) -> None:
        await self._stream.write(data)
        self._tell(count)

    async def _say(self, frame: EndFrame | HoleFrame, count: int | None = None) -> None:
        self._stream.send(frame)
        if count is not None:
            self._tell(count)

    def _tell(self, count: int) -> None:
        if self._progress is not None:
            self._progress(count, self._total)
