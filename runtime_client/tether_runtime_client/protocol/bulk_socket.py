"""A bulk connection's socket in the hands of one blocking thread.

For as long as it is lent, the event loop neither reads nor writes it: a large transfer would pass
the loop once for each message, at both ends. The messages are the same. What comes is read into one
buffer, and what goes leaves from where it lies: the side that has to mask does it with zeros. What
masks are for, proxies that take foreign bytes for requests, is nowhere on this way.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar

from .errors import TransferError
from .framing import BINARY, CLOSE, TEXT, frame_header, unmasked
from .limits import BULK_CHUNK, MAX_FRAME

SILENCE_LIMIT_S: Final = 3600
"""A transfer of which nothing moves for this long is given up."""

#: More than the usual: each end is woken less often. A TCP socket's grows by itself.
_SEND_BUFFER: Final = 1024 * 1024
_FIN: Final = 0x80
_MASKED: Final = 0x80
_ZERO_KEY: Final = bytes(4)

F = TypeVar("F")


class _Header(NamedTuple):
    """Of a message: `BINARY` or `TEXT`, its length, and its mask where that is not of zeros."""

    kind: int
    length: int
    key: bytes


class BulkSocket(Generic[F]):
    """Messages of one bulk connection, for one thread. Made and taken back by a `BulkStream`.

    `early` are messages that had come before the socket was lent, frames among them of the type
    `F`, and `rest` is what had come of a further one. Without a connection there are no others.
    """

    def __init__(
        self,
        connection: socket.socket | None,
        early: Iterable[bytes | F] = (),
        rest: bytes = b"",
        *,
        masks: bool = False,
        closed_because: str = "the connection was cut",
    ) -> None:
        self._socket = connection
        self._early = deque(early)
        self._rest = rest
        self._masks = masks
        self._buffer = memoryview(bytearray(BULK_CHUNK))
        self._left = 0
        """Bytes of the message being read that have not been read."""

        self._key = b""
        self._readable, self._writable = select.poll(), select.poll()
        self.closed_because = closed_because
        if connection is None:
            return
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)
        if connection.family == socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def receive(self) -> memoryview | bytes | F | None:
        """The next of a message's bytes as a view that is good until the next call, or a frame.

        Frames that came in the meantime are `bytes`: their JSON. None at the end, or at what only
        the loop can deal with; `closed_because` says why. Raises `TransferError` after a silence.
        """
        while not self._left:
            if self._early:
                early = self._early.popleft()
                return memoryview(early) if isinstance(early, bytes) else early
            header = self._header()
            if header is None:
                return None
            if header.kind == TEXT:
                return self._text(header)
            self._left, self._key = header.length, header.key
        return self._piece()

    def send(self, data: bytes | memoryview, *, text: bool = False) -> None:
        """Send one message. Raises `ConnectionError` when the peer is gone: what it said before
        can be read afterwards. Raises `TransferError` after a silence.
        """
        if self._socket is None:
            raise ConnectionError(f"the bulk connection is closed: {self.closed_because}")
        key = _ZERO_KEY if self._masks else b""
        header = frame_header(TEXT if text else BINARY, len(data), key)
        try:
            _send(self._socket, self._writable, header, memoryview(data))
        except OSError as problem:
            raise ConnectionError(f"the bulk connection failed: {problem}") from problem

    def tell(self, text: bytes) -> None:
        """Send a frame that a peer which is gone need not get: reading shows that it is."""
        with suppress(ConnectionError):
            self.send(text, text=True)

    @property
    def readable(self) -> bool:
        """Whether `receive` would return at once, if only with the beginning of a message."""
        if self._early or self._left or self._rest:
            return True
        return self._socket is None or bool(self._readable.poll(0))

    def close(self) -> tuple[list[bytes | F], bytes]:
        """When the thread is done: what has come and was not taken, as it was lent.

        That is also what can be had at this moment: it may be why the peer wants no more.
        """
        rest = self._rest
        if self._socket is not None:
            with suppress(OSError):  # there is nothing, or the connection was cut
                rest += self._socket.recv(BULK_CHUNK)
            self._socket.close()
        if self._left:
            key = b"" if self._masks else self._key or _ZERO_KEY
            rest = frame_header(BINARY, self._left, key) + rest
        return list(self._early), rest

    # --- reading

    def _header(self) -> _Header | None:
        head = self._exactly(2)
        if len(head) < 2:
            return None
        size = {126: 2, 127: 8}.get(head[1] & ~_MASKED, 0)
        masked = bool(head[1] & _MASKED)
        more = self._exactly(size + 4 * masked)
        if len(more) < size + 4 * masked:
            self._rest = head + more  # half a length is another one
            return None
        length = int.from_bytes(more[:size], "big") if size else head[1] & ~_MASKED
        kind, key = head[0] & ~_FIN, more[size:]
        whole = head[0] & _FIN and kind in (BINARY, TEXT) and masked is not self._masks
        if whole and length <= MAX_FRAME:
            return _Header(kind, length, b"" if key == _ZERO_KEY else key)
        payload = b""
        if kind == CLOSE and length < 126:
            payload = self._exactly(length)
            self._note_close(payload, key)
        self._rest = head + more + payload + self._rest
        return None

    def _note_close(self, payload: bytes, key: bytes) -> None:
        plain = bytes(unmasked(payload, key))
        code = int.from_bytes(plain[:2], "big")
        self.closed_because = plain[2:].decode("utf-8", "replace") or f"closed by the peer ({code})"

    def _text(self, header: _Header) -> bytes | None:
        data = self._exactly(header.length)
        if len(data) < header.length:
            return None
        return bytes(unmasked(data, header.key))

    def _piece(self) -> memoryview | None:
        room = self._buffer[: self._left]
        if self._rest:
            count = min(len(self._rest), len(room))
            room[:count], self._rest = self._rest[:count], self._rest[count:]
        else:
            count = self._receive_into(room)
        if not count:
            self._left = 0
            return None
        self._left -= count
        data = unmasked(room[:count], self._key)
        turn = count % 4
        self._key = self._key[turn:] + self._key[:turn]
        return memoryview(data)

    def _exactly(self, count: int) -> bytes:
        """That many bytes, or fewer at the end."""
        data, self._rest = self._rest[:count], self._rest[count:]
        if len(data) == count:
            return data
        whole = bytearray(count)
        have = len(data)
        whole[:have] = data
        while have < count and (more := self._receive_into(memoryview(whole)[have:])):
            have += more
        return bytes(whole[:have])

    def _receive_into(self, room: memoryview) -> int:
        """How many bytes came; 0 at the end."""
        while self._socket is not None:
            try:
                return self._socket.recv_into(room)
            except BlockingIOError:
                _wait(self._readable)
            except OSError as problem:
                self.closed_because = str(problem)
                break
        return 0


def _send(
    connection: socket.socket, writable: select.poll, header: bytes, data: memoryview
) -> None:
    """Once begun, a message is sent whole: a receiver that gives up reads on."""
    while header or data:
        try:
            count = connection.sendmsg((header, data))
        except BlockingIOError:
            _wait(writable)
            continue
        of_header = min(count, len(header))
        header, data = header[of_header:], data[count - of_header :]


def _wait(poll: select.poll) -> None:
    if not poll.poll(SILENCE_LIMIT_S * 1000):
        raise TransferError(f"nothing moved for {SILENCE_LIMIT_S} s")
