"""Bulk connections: files, trees, terminals, execs as binary messages, beside the event stream.

Whoever opens one shows a ticket first (`OpenFrame`). Binary messages carry the bytes; the sender
of a file or tree ends them with an `EndFrame`, which the receiver checks against what came and,
once all of it has its final name, answers with the same.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from .action import TerminalSide
from .bulk_socket import BulkSocket
from .channel import Channel
from .errors import MalformedFrame, TetherError, TransferError
from .exec_frames import ClosedFrame, EndedFrame, StreamFrame, TakenFrame
from .frames import encode
from .limits import MAX_HOLE, MAX_SEQUENCE
from .message import Message, changed
from .notes import NOTES_LIMIT, Notes, NotesCount
from .port_frames import BeginFrame, EofFrame, TicketsFrame, WantFrame

QUEUE_LIMIT = 8
"""Messages that may wait for a slow reader before the socket is no longer read."""

POLICY_VIOLATION = 1008


class OpenFrame(Message):
    """The first message: the ticket of the action this connection belongs to."""

    type: Literal["open"] = "open"
    ticket: str


class HoleFrame(Message):
    """That many zero bytes come here: a hole in a sparse file, which stays one."""

    type: Literal["hole"] = "hole"
    bytes: Annotated[int, Field(ge=1, le=MAX_HOLE)]


class EndFrame(Message):
    """All bytes were sent: how many, holes among them, and their CRC-32 in hexadecimal.

    Either end tells in `notes` what it did not copy like the rest, and in `notes_total` of how
    much there was to tell.
    """

    type: Literal["end"] = "end"
    bytes: int
    crc32: str
    files: int = 1
    notes: Notes = ()
    notes_total: NotesCount = 0

    @property
    def content(self) -> tuple[int, str, int]:
        """What both ends have to agree on."""
        return self.bytes, self.crc32, self.files

    def noting(self, notes: Notes, total: int) -> EndFrame:
        """This end with more notes."""
        both = (*self.notes, *notes)[:NOTES_LIMIT]
        return changed(self, notes=both, notes_total=self.notes_total + total)


class ReceivedFrame(Message):
    """So many bytes have come, holes among them.

    The receiver's first word on each connection, said again before `BULK_WINDOW` more have come:
    the sender keeps what is behind, and begins there on a connection that is not the first.
    """

    type: Literal["received"] = "received"
    bytes: Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]


class ResizeFrame(Message):
    """The terminal at the server's end has another size now."""

    type: Literal["resize"] = "resize"
    rows: TerminalSide
    cols: TerminalSide


class FailFrame(Message):
    """The sender gives up; the action's error says why, and `code` where there is no action."""

    type: Literal["fail"] = "fail"
    message: str
    code: Annotated[str, Field(max_length=64)] = TransferError.code


BulkFrame = Annotated[
    OpenFrame
    | HoleFrame
    | EndFrame
    | ReceivedFrame
    | ResizeFrame
    | StreamFrame
    | TakenFrame
    | ClosedFrame
    | EndedFrame
    | TicketsFrame
    | WantFrame
    | BeginFrame
    | EofFrame
    | FailFrame,
    Field(discriminator="type"),
]
bulk_adapter: TypeAdapter[BulkFrame] = TypeAdapter(BulkFrame)


class Lent(NamedTuple):
    """A bulk connection's socket, messages that had come before it was lent, what had come of a
    further one, and whether what is sent there is masked. No socket where it is closed.
    """

    connection: socket.socket | None
    early: tuple[bytes | BulkFrame, ...] = ()
    rest: bytes = b""
    masks: bool = False


class BulkStream:
    """A channel `Receiver` with back-pressure both ways, for coroutines. Single reader and writer.

    `read` returns bytes, a frame, or None once the peer closed. `write` returns when the
    transport takes more.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed_because: str | None = None
        self._channel: Channel | None = None
        self._refused = False
        self._messages: deque[bytes | BulkFrame] = deque()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        """Ready for messages."""
        self._channel = channel
        if not self.opened.done():
            self.opened.set_result(None)

    def on_binary(self, data: bytes) -> None:
        """Queue bytes."""
        self._enqueue(data)

    def on_text(self, text: bytes) -> None:
        """Queue a frame; anything else ends the connection."""
        try:
            self._enqueue(bulk_adapter.validate_json(text))
        except ValidationError:
            self.abort("the peer sent a malformed bulk frame")

    def on_pong(self) -> None:
        """Nothing waits for one here."""

    def on_writable(self) -> None:
        """Let the writer go on."""
        self._writable.set()

    def on_close(self, reason: str) -> None:
        """Wake whoever waits."""
        self.closed_because = reason
        self._readable.set()
        self._writable.set()
        if not self.opened.done():
            self.opened.set_exception(TransferError(f"the bulk connection failed: {reason}"))
            self.opened.exception()  # whoever opened it may wait for it no more

    # --- what coroutines call

    async def read(self) -> bytes | BulkFrame | None:
        """The next message, or None when the connection is closed and all was read."""
        while not self._messages:
            if self.closed_because is not None:
                return None
            self._readable.clear()
            await self._readable.wait()
        message = self._messages.popleft()
        if len(self._messages) == QUEUE_LIMIT // 2 and self._channel is not None:
            self._channel.resume_reading()
        return message

    async def write(self, data: bytes | memoryview) -> None:
        """Send bytes; raises `TransferError` once the connection is gone."""
        channel = self._open_channel()
        channel.send_binary(data)
        if channel.congested:
            self._writable.clear()
            await self._writable.wait()
            self._open_channel()

    async def lend(self) -> BulkSocket[BulkFrame]:
        """The socket, for one thread, with what has come and was not read; then `take_back`.

        Meanwhile only `abort` and `close` may be called here, and both cut the connection. Of one
        that is closed there is what came before. Raises `TransferError` when it cannot be used.
        """
        lent = await self._parted()
        if lent.connection is None:
            because = self.closed_because or "it was closed at one end"
            return BulkSocket(None, lent.early, closed_because=because)
        return BulkSocket(lent.connection, lent.early, lent.rest, masks=lent.masks)

    async def detach(self) -> Lent:
        """The socket as it is, for good: the stream is closed, and what it was made of is freed.

        Raises `TransferError` when it cannot be used; of one that is closed there is none.
        """
        lent = await self._parted()
        if self._channel is not None and lent.connection is not None:
            self._channel.take_back(b"")
            self._channel.abort("its socket was given away")  # which closes the channel's own
        return lent

    async def _parted(self) -> Lent:
        channel = self._channel
        if channel is not None:
            channel.pause_reading()
        while channel is not None and channel.is_open and not channel.all_written():
            self._writable.clear()
            await self._writable.wait()
        early = tuple(self._messages)
        self._messages.clear()
        if channel is None or not channel.is_open:
            return Lent(None, early)
        try:
            connection, rest = channel.lend()
        except ConnectionError as problem:
            raise TransferError(f"the bulk connection cannot be used: {problem}") from problem
        return Lent(connection, early, rest, channel.masks)

    def take_back(self, lent: BulkSocket[BulkFrame]) -> None:
        """The thread is done with the socket."""
        early, rest = lent.close()
        self._messages.extend(early)
        if self._channel is not None:
            self._channel.take_back(rest)

    def trust(self) -> None:
        """The ticket was good: take long messages."""
        if self._channel is not None:
            self._channel.trust()

    def send(self, frame: BulkFrame) -> None:
        """Send a frame; raises `TransferError` once the connection is gone."""
        self._open_channel().send_text(encode(frame))

    def close(self) -> None:
        """Close in good order: what was sent still arrives. Twice is safe."""
        if self._channel is not None:
            self._channel.close()

    def refuse(self, error: TetherError) -> None:
        """Say why there is no transfer, and close. What still comes is not kept."""
        self._refused = True
        self._messages.clear()
        if self._channel is not None:
            self._channel.send_text(encode(FailFrame(message=error.message, code=error.code)))
            self._channel.close(error.code, POLICY_VIOLATION)

    def abort(self, reason: str) -> None:
        """Drop the connection. Twice is safe."""
        if self._channel is not None:
            self._channel.abort(reason)

    def _open_channel(self) -> Channel:
        """The channel, unless what is sent there would go nowhere."""
        if self._channel is None or not self._channel.is_open:
            because = self.closed_because or "it was closed at one end"
            raise TransferError(f"the bulk connection is closed: {because}")
        return self._channel

    def _enqueue(self, message: bytes | BulkFrame) -> None:
        if self._refused:
            return
        self._messages.append(message)
        self._readable.set()
        if len(self._messages) >= QUEUE_LIMIT and self._channel is not None:
            self._channel.pause_reading()


def expect_open(message: bytes | BulkFrame | None) -> str:
    """The ticket of a first message; raises `MalformedFrame` when it is none."""
    if not isinstance(message, OpenFrame):
        raise MalformedFrame("a bulk connection opens with its ticket")
    return message.ticket
