"""A transfer as blocking code sees it: files are read and written in threads of their own.

The thread has the connection's socket for as long as it works: see `bulk_socket`. When the
connection is lost it waits for the next (`bulk_line`), and goes on at the byte the receiver has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from pydantic import ValidationError

from .bulk import BulkFrame, EndFrame, FailFrame, HoleFrame, ReceivedFrame, bulk_adapter
from .bulk_line import BulkLine
from .checksum import Checksum
from .errors import TicketInvalid, TransferError
from .frames import encode
from .holes import ZEROS, zeros
from .limits import BULK_CHUNK, BULK_WINDOW, MAX_HOLE, MAX_HOLES
from .notes import NoteBook

TELL_EVERY = BULK_WINDOW // 8
"""Bytes after which a receiver says again how many have come."""

TransferProgress = Callable[[int, int | None], None]
"""Told on the loop how many bytes have crossed, and of how many where that is known."""


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


class BulkReader:
    """What the peer sends, for the thread that has the line.

    At the end the peer's `EndFrame` is checked against what came. Every way of not getting there
    raises `TransferError`. `progress` is called by the thread.
    """

    def __init__(
        self,
        line: BulkLine,
        *,
        announced: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._line = line
        self._announced = announced
        self._progress = progress
        self._checksum = Checksum()
        self._count = 0
        self._told = 0
        self._left = memoryview(b"")
        self._hole = 0
        self._holes = 0
        self.end: EndFrame | None = None
        self._say_received()

    def chunk(self) -> memoryview:
        """The next bytes, good until the next call; empty when all came and were what was sent.

        Of a hole comes piece by piece a part of `holes.ZEROS`.
        """
        while self.end is None:
            if self._hole:
                return self._zeros()
            message = self._line.socket.receive()
            if isinstance(message, memoryview):
                self._take(message)
                if message:
                    return message
                continue
            frame = _frame(message) if isinstance(message, bytes) else message
            if _is_lost(frame) and self._line.next():
                self._say_received()
            else:
                self._take_frame(frame)
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

    def _say_received(self) -> None:
        self._told = self._count
        self._line.socket.tell(encode(ReceivedFrame(bytes=self._count + self._hole)))

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
        self._checksum.update(data)
        if self._count - self._told >= TELL_EVERY:
            self._say_received()
        if self._progress is not None:
            self._progress(self._count, self._announced)

    def _checked(self, message: BulkFrame | None) -> EndFrame:
        if message is None:
            why = self._line.lost_because
            raise TransferError(f"the connection ended after {self._count:,} bytes: {why}")
        if isinstance(message, FailFrame):
            raise TransferError(f"the sender gave up: {message.message[:500]}")
        if not isinstance(message, EndFrame):
            raise TransferError(f"a {message.type} message has no place in a transfer")
        if (message.bytes, message.crc32) != (self._count, str(self._checksum)):
            raise TransferError("what arrived is not what was sent: size or checksum differ")
        return message


class _Sent(NamedTuple):
    """A message, and the place in the transfer that it begins at and goes on for."""

    offset: int
    length: int
    message: memoryview | HoleFrame | EndFrame

    def behind(self, offset: int) -> memoryview | HoleFrame | EndFrame | None:
        """What of it is not before `offset`; the end never is."""
        if isinstance(self.message, EndFrame):
            return self.message
        skip = max(0, offset - self.offset)
        if skip >= self.length:
            return None
        if isinstance(self.message, HoleFrame):
            return HoleFrame(bytes=self.length - skip)
        return self.message[skip:]


class BulkWriter:
    """What we send, for the thread that has the line. `progress` is called by the thread.

    What the receiver has not confirmed is kept, `BULK_WINDOW` bytes of it at most, and goes out
    again over the next connection. So what `write` is given must not be changed afterwards.
    """

    def __init__(
        self,
        line: BulkLine,
        *,
        total: int | None = None,
        progress: TransferProgress | None = None,
    ) -> None:
        self._line = line
        self._total = total
        self._progress = progress
        self._checksum = Checksum()
        self._count = 0
        self._received = 0
        self._kept: deque[_Sent] = deque()
        self._kept_bytes = 0

    def write(self, data: bytes | memoryview) -> int:
        """Send bytes as they come; raises `TransferError` once the peer wants no more."""
        view = memoryview(data)
        for start in range(0, len(view), BULK_CHUNK):
            piece = view[start : start + BULK_CHUNK]
            self._checksum.update(piece)
            self._send(piece, len(piece))
        return len(view)

    def hole(self, length: int) -> None:
        """Send that many zeros as what they are."""
        while length > 0:
            part = min(length, MAX_HOLE)
            length -= part
            for piece in zeros(part):
                self._checksum.update(piece)
            self._send(HoleFrame(bytes=part), part)

    def finish(self, files: int = 1, notes: NoteBook | None = None) -> EndFrame:
        """Send the end, which is returned."""
        end = EndFrame(bytes=self._count, crc32=str(self._checksum), files=files)
        if notes is not None:
            end = end.noting(tuple(notes.first), notes.total)
        self._send(end, 0)
        return end

    def confirmation(self) -> EndFrame | None:
        """Wait for the receiver's answer to the end. None: the connection was lost for good."""
        while True:
            try:
                answer = self._hear()
            except ConnectionError:
                if not self._resumed():
                    return None
            else:
                if answer is not None:
                    return answer

    # --- inside

    def _send(self, message: memoryview | HoleFrame | EndFrame, length: int) -> None:
        self._kept.append(_Sent(self._count, length, message))
        self._count += length
        self._kept_bytes += length if isinstance(message, memoryview) else 0
        try:
            self._listen()
            self._put(message)
        except ConnectionError as problem:
            if not self._resumed():
                raise TransferError(f"the bulk connection failed: {problem}") from problem
        if length and self._progress is not None:
            self._progress(self._count, self._total)

    def _put(self, message: memoryview | HoleFrame | EndFrame) -> None:
        if isinstance(message, memoryview):
            self._line.socket.send(message)
        else:
            self._line.socket.send(encode(message), text=True)

    def _listen(self) -> None:
        """Take what the receiver has said; with too much unconfirmed, wait until it says more."""
        while self._kept_bytes > BULK_WINDOW or self._line.socket.readable:
            if self._hear() is not None:
                raise TransferError("the receiver says that it has everything, and has not")

    def _hear(self) -> EndFrame | None:
        """One word of the receiver; its answer to the end is returned."""
        message = self._line.socket.receive()
        frame = _frame(message) if isinstance(message, bytes) else message
        if isinstance(frame, ReceivedFrame):
            self._forget(frame.bytes)
            return None
        if isinstance(frame, EndFrame):
            return frame
        if isinstance(frame, memoryview):
            raise TransferError("bytes came from the receiver of a transfer")
        if frame is None or _is_lost(frame):
            raise ConnectionError(self._line.lost_because)
        if isinstance(frame, FailFrame):
            raise TransferError(f"the receiver gave up: {frame.message[:500]}")
        raise TransferError(f"a {frame.type} message has no place in a transfer")

    def _forget(self, received: int) -> None:
        """The receiver has that many bytes: they are not needed any more. The end may be."""
        if not self._received <= received <= self._count:
            raise TransferError(f"the receiver says that it has {received:,} bytes: it cannot")
        self._received = received
        while self._kept and self._kept[0].behind(received) is None:
            sent = self._kept.popleft()
            self._kept_bytes -= sent.length if isinstance(sent.message, memoryview) else 0

    def _resumed(self) -> bool:
        """Go on over the next connection; False when there is none."""
        while self._line.next():
            try:
                self._send_again()
            except ConnectionError:
                continue
            return True
        return False

    def _send_again(self) -> None:
        """The receiver begins: it says where it is. One that has everything may be gone by now,
        and its answer is left: what is read next shows that, or that the connection is lost too.
        """
        if self._hear() is not None:
            raise TransferError("the receiver does not say where to go on")
        with suppress(ConnectionError):
            for sent in self._kept:
                message = sent.behind(self._received)
                assert message is not None
                self._put(message)


def _is_lost(frame: BulkFrame | None) -> bool:
    """No more comes here: it was cut, or its ticket had been used by one that was."""
    return frame is None or (isinstance(frame, FailFrame) and frame.code == TicketInvalid.code)


def _frame(text: bytes) -> BulkFrame:
    try:
        return bulk_adapter.validate_json(text)
    except ValidationError:
        raise TransferError("the peer sent a malformed bulk frame") from None
