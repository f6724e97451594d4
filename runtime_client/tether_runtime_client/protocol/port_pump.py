"""Bytes between a port's connection and a bulk connection, both ways, until both are at their end.

Both sockets are read and written by the event loop itself, without asyncio's transports: what came
from one leaves for the other from where it lies, and what cannot leave stops the reading. So a
stream of any length costs no more memory than one buffer a thread, and what the kernel holds.

A half-close is passed on. A connection that ends in another way was broken: the port's is reset,
so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from .bulk import BulkFrame, BulkStream, FailFrame, Lent, bulk_adapter
from .errors import PortError, TetherError, TransferError, error_from_code
from .frames import encode
from .framing import BINARY, CLOSE, TEXT, frame_header, unmasked
from .limits import BULK_CHUNK, MAX_FRAME
from .port_frames import BeginFrame, EofFrame
from .port_sockets import at_once, notice_death

MAX_WORD: Final = 8 * 1024
"""The longest text message there: an error with its message."""

_HEAD: Final = 14
_FIN: Final = 0x80
_MASKED: Final = 0x80
_ZERO_KEY: Final = bytes(4)
_SEND_BUFFER: Final = 1024 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_buffers = threading.local()


async def pump(
    stream: BulkStream,
    port: socket.socket,
    *,
    first: bytes = b"",
    on_broken: Callable[[], None] | None = None,
) -> tuple[int, int]:
    """Carry bytes until both ends have said that there are no more; both are closed then.

    `port` is a connected, non-blocking socket, `first` what was read of it before. Returns how many
    bytes it sent and received. `on_broken` is called before it is reset.

    Raises `TetherError`, the peer's own where it gave one, when the connection was broken.
    """
    try:
        lent = await stream.detach()
    except BaseException:
        reset(port)
        stream.abort("the connection to the port was given up")
        raise
    if lent.connection is None:
        reset(port)
        raise _told(lent) or TransferError(f"no connection: {stream.closed_because}")
    return await _Pump(lent.connection, lent, port, on_broken).run(first)


def reset(port: socket.socket) -> None:
    """Close so that the peer sees an error, and no end. A UNIX socket knows none: it is closed."""
    if port.family != socket.AF_UNIX:
        with suppress(OSError):
            port.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    port.close()


class _Pump:
    def __init__(
        self,
        bulk: socket.socket,
        lent: Lent,
        port: socket.socket,
        on_broken: Callable[[], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._bulk = bulk
        self._port = port
        self._on_broken = on_broken
        self._key = _ZERO_KEY if lent.masks else b""
        self._early = b"".join(map(_framed, lent.early)) + lent.rest
        self._unsent = b""
        """Towards the sandbox's other end: what the bulk connection did not take yet."""
        self._sending_ended = False
        self._untaken = b""
        """From there: what the port did not take yet, or the beginning of a message's head."""
        self._left = 0
        self._left_key = b""
        self._receiving_ended = False
        self._broken: TetherError | None = None
        self.sent = self.received = 0
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def run(self, first: bytes) -> tuple[int, int]:
        if self._bulk.family == socket.AF_UNIX:
            self._bulk.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        at_once(self._port)
        at_once(self._bulk)
        notice_death(self._bulk)
        self._loop.add_reader(self._port, self._port_readable)
        self._loop.add_reader(self._bulk, self._bulk_readable)
        try:
            if first:
                self.sent += len(first)
                self._send(memoryview(frame_header(BINARY, len(first), self._key) + first))
            if self._early and not self._over.done():
                early, self._early = self._early, b""
                self._take(memoryview(early))
            await self._over
        finally:
            self._end(TransferError("the connection was given up"))
        return self.sent, self.received

    # --- from the port to the bulk connection

    def _port_readable(self) -> None:
        buffer = _buffer()
        try:
            count = self._port.recv_into(buffer[_HEAD:])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            self._end(PortError(f"the connection to the port was broken: {problem.strerror}"))
            return
        if not count:
            self._sending_ended = True
            self._loop.remove_reader(self._port)
            word = encode(EofFrame())
            self._send(memoryview(frame_header(TEXT, len(word), self._key) + word))
            return
        self.sent += count
        header = frame_header(BINARY, count, self._key)
        start = _HEAD - len(header)
        buffer[start:_HEAD] = header
        self._send(buffer[start : _HEAD + count])

    def _send(self, data: memoryview) -> None:
        try:
            sent = self._bulk.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as problem:
            self._end(TransferError(f"the connection was cut: {problem.strerror}"))
            return
        if sent < len(data):
            self._loop.remove_reader(self._port)
            if not self._unsent:
                self._loop.add_writer(self._bulk, self._bulk_writable)
            self._unsent = bytes(data[sent:])
        elif self._sending_ended:
            self._look_at_ends()

    def _bulk_writable(self) -> None:
        rest, self._unsent = self._unsent, b""
        self._loop.remove_writer(self._bulk)
        self._send(memoryview(rest))
        if not self._unsent and not self._sending_ended and not self._over.done():
            self._loop.add_reader(self._port, self._port_readable)

    # --- from the bulk connection to the port

    def _bulk_readable(self) -> None:
        buffer, have = _buffer(), len(self._untaken)
        buffer[:have] = self._untaken
        try:
            count = self._bulk.recv_into(buffer[have:])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            self._end(TransferError(f"the connection was cut: {problem.strerror}"))
            return
        if not count:
            self._end(TransferError("the connection was cut"))
            return
        self._untaken = b""
        self._take(buffer[: have + count])

    def _take(self, data: memoryview) -> None:
        """Give the port what is for it, and keep what it does not take."""
        try:
            while data and not self._over.done():
                rest = self._deliver(data) if self._left else self._head(data)
                if rest is data:  # nothing moved
                    self._untaken = bytes(data)
                    return
                data = rest
        except TetherError as problem:
            self._end(problem)

    def _deliver(self, data: memoryview) -> memoryview:
        piece = data[: self._left]
        try:
            count = self._port.send(unmasked(piece, self._left_key))
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError as problem:
            self._refused(PortError(f"the port takes no more: {problem.strerror}"))
            return data[len(data) :]
        self.received += count
        self._left -= count
        if self._left_key:
            turn = count % 4
            self._left_key = self._left_key[turn:] + self._left_key[:turn]
        if count < len(piece):
            self._wait_for_port(data[count:])
            return data[len(data) :]
        return data[count:]

    def _wait_for_port(self, rest: memoryview) -> None:
        self._untaken = bytes(rest)
        self._loop.remove_reader(self._bulk)
        self._loop.add_writer(self._port, self._port_writable)

    def _port_writable(self) -> None:
        self._loop.remove_writer(self._port)
        rest, self._untaken = self._untaken, b""
        self._loop.add_reader(self._bulk, self._bulk_readable)
        self._take(memoryview(rest))

    def _refused(self, problem: TetherError) -> None:
        """The port takes no more, but may have said something before: an HTTP server that did not
        want all of a request has. That still goes; then the connection counts as broken.
        """
        if self._sending_ended:
            self._end(problem)
            return
        self._broken = problem
        self._loop.remove_reader(self._bulk)

    def _head(self, data: memoryview) -> memoryview:
        """What follows the head of a message, and the word where it is one; all when it is cut."""
        if self._receiving_ended:
            raise TransferError("bytes came behind the end of a port's stream")
        if len(data) < 2:
            return data
        size = {126: 2, 127: 8}.get(data[1] & ~_MASKED & 0xFF, 0)
        begin = 2 + size + (4 if data[1] & _MASKED else 0)
        if len(data) < begin:
            return data
        length = int.from_bytes(data[2 : 2 + size], "big") if size else data[1] & 0x7F
        key = bytes(data[begin - 4 : begin]) if data[1] & _MASKED else b""
        kind = data[0] & ~_FIN & 0xFF
        if not data[0] & _FIN or kind not in (BINARY, TEXT, CLOSE):
            raise TransferError("a message that has no place on a port's connection")
        if kind == BINARY and length <= MAX_FRAME:
            self._left, self._left_key = length, b"" if key == _ZERO_KEY else key
            return data[begin:]
        if kind == BINARY or length > MAX_WORD:
            raise TransferError(
                f"a message of {length:,} bytes is too long for a port's connection"
            )
        if len(data) < begin + length:
            return data
        self._word(kind, bytes(unmasked(bytes(data[begin : begin + length]), key)))
        return data[begin + length :]

    def _word(self, kind: int, text: bytes) -> None:
        if kind == CLOSE:
            raise TransferError(f"the connection was closed: {text[2:].decode('utf-8', 'replace')}")
        frame = _parsed(text)
        if isinstance(frame, FailFrame):
            raise error_from_code(frame.code, frame.message)
        if isinstance(frame, BeginFrame):
            return
        if not isinstance(frame, EofFrame):
            raise TransferError("a message that has no place on a port's connection")
        self._receiving_ended = True
        with suppress(OSError):  # it has gone, which is seen when it is read
            self._port.shutdown(socket.SHUT_WR)
        self._look_at_ends()

    # --- the end

    def _look_at_ends(self) -> None:
        if self._broken is not None:
            self._end(self._broken)
        elif self._sending_ended and not self._unsent and self._receiving_ended:
            self._end(None)

    def _end(self, problem: TetherError | None) -> None:
        if self._over.done():
            if self._port.fileno() < 0:
                return
        elif problem is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(problem)
            self._over.exception()  # whoever ran it may have been cancelled
        for connection in (self._port, self._bulk):
            self._loop.remove_reader(connection)
            self._loop.remove_writer(connection)
        if problem is None:
            self._port.close()
        else:
            if self._on_broken is not None:
                self._on_broken()
            reset(self._port)
        self._bulk.close()


def _buffer() -> memoryview:
    """The thread's own; what is in it is good until the callback returns."""
    found: memoryview | None = getattr(_buffers, "view", None)
    if found is None:
        found = _buffers.view = memoryview(bytearray(_HEAD + MAX_WORD + BULK_CHUNK))
    return found


def _framed(message: bytes | BulkFrame) -> bytes:
    data = message if isinstance(message, bytes) else encode(message)
    kind = BINARY if isinstance(message, bytes) else TEXT
    return frame_header(kind, len(data)) + data


def _parsed(text: bytes) -> BulkFrame:
    try:
        return bulk_adapter.validate_json(text)
    except ValidationError:
        raise TransferError("the peer sent a malformed bulk frame") from None


def _told(lent: Lent) -> TetherError | None:
    """Why the peer closed it, if it said so."""
    for message in lent.early:
        if isinstance(message, FailFrame):
            return error_from_code(message.code, message.message)
    return None
