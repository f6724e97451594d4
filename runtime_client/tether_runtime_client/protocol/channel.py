"""A websocket over any connected byte pipe, on asyncio: the thin shell around `websockets`' core.

The core (`websockets.client.ClientProtocol`, `websockets.server.ServerProtocol`) does no I/O;
this class moves its bytes, and whole messages past it (see `framing`). Messages are handed to a
receiver in the read callback itself: no task, no queue and no copy stand between the socket and
the protocol.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from .closing import Closing
from .framing import BINARY, CORE, TEXT, FrameReader, data_frame
from .limits import HANDSHAKE_TIMEOUT_S, MAX_FRAME, MAX_HANDSHAKE_FRAME

_HEAD_END = b"\r\n\r\n"

JOIN_BELOW = 64 * 1024
"""Messages that leave together are joined to one write below this many bytes."""

WRITE_HIGH_WATER = 1024 * 1024
"""Bytes waiting in the transport at which a sender is asked to stop."""

WRITE_LIMIT = 4 * WRITE_HIGH_WATER
"""Bytes waiting there at which nothing more is read: a peer that asks and asks, and never takes
the answers, costs no more memory than this."""

_REASON_BYTES = 120
"""A close frame holds 123 at most."""


class Receiver(Protocol):
    """What a channel calls, always on the loop: `on_open` first, `on_close` last, once each."""

    def on_open(self, channel: Channel, path: str) -> None:
        """The websocket handshake is done."""

    def on_text(self, text: bytes) -> None:
        """A whole text message, UTF-8 not yet checked."""

    def on_binary(self, data: bytes) -> None:
        """A whole binary message."""

    def on_pong(self) -> None:
        """The peer answered a ping."""

    def on_writable(self) -> None:
        """The transport drained after `Channel.congested` was true."""

    def on_close(self, reason: str) -> None:
        """The pipe is gone. Also called when it never opened."""


Route = Callable[[str], Receiver | None]
"""Chooses the receiver for a request's path; None answers 404."""


class Channel(asyncio.Protocol):
    """One websocket, either side. Not reusable.

    `closed` is done when the pipe is gone, after the receiver's `on_close`.
    """

    def __init__(
        self,
        core: ClientProtocol | ServerProtocol,
        *,
        receiver: Receiver | None = None,
        route: Route | None = None,
    ) -> None:
        self._core = core
        self.masks = isinstance(core, ClientProtocol)
        """Whether this is the websocket's client, whose messages are masked."""

        self._reader: FrameReader | None = None
        self._head: bytes | None = b""
        """The last bytes of the handshake so far; None once it is over."""
        self._frames: list[bytes] = []
        self._receiver = receiver
        self._route = route
        self._handshake: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._message = bytearray()
        self._message_opcode = Opcode.TEXT
        self._close_reason = ""
        self._eof_sent = False
        self._aborted = False
        self._closing: Closing | None = None
        self._held_by_user = False
        self._held_by_backlog = False
        self._lent: socket.socket | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lazy: asyncio.Handle | None = None
        self.congested = False
        self.trusted = False
        self.heard = 0.0
        """When the peer last sent anything, by the loop's clock."""

    # --- what users of a channel call

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._core.state is OPEN and self._transport is not None

    def send_text(self, text: bytes, *, lazy: bool = False) -> None:
        """Send one text message; silently nothing once closed (`on_close` tells).

        A `lazy` one leaves when this turn of the loop is over, or with what is sent before that,
        in order: what the turn still has to do, such as starting the work, comes first.
        """
        if not self.is_open:
            return
        self._frames.append(data_frame(TEXT, text, masked=self.masks))
        if not lazy:
            self._flush()
        elif self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_soon(self._flush_lazy)

    def send_binary(self, data: bytes | memoryview) -> None:
        """Send one binary message; silently nothing once closed."""
        if self.is_open:
            self._frames.append(data_frame(BINARY, data, masked=self.masks))
            self._flush()

    def ping(self) -> None:
        """Ask the peer for a sign of life; its pong is answered by the core."""
        if self.is_open:
            self._core.send_ping(b"")
            self._flush()

    def trust(self) -> None:
        """The peer has shown that it may be here: take long messages from now on."""
        self.trusted = True
        name = "max_message_size" if hasattr(self._core, "max_message_size") else "max_size"
        setattr(self._core, name, MAX_FRAME)  # renamed between releases of websockets
        if self._reader is not None:
            self._reader.limit = MAX_FRAME

    def close(self, reason: str = "", code: int = CloseCode.NORMAL_CLOSURE) -> None:
        """Start the closing handshake; what was sent still arrives. Twice is safe."""
        if self._lent is not None:
            self.abort(reason)  # a word of ours would stand amid another's message
            return
        self._close_reason = self._close_reason or reason
        if self.is_open:
            told = reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore")
            self._core.send_close(code, told)
            self._flush()
        elif self._transport is not None and self._closing is None:
            self._transport.close()

    def abort(self, reason: str = "") -> None:
        """Drop the connection now, without a word. Twice is safe."""
        self._close_reason = self._close_reason or reason
        self._aborted = True
        if self._lent is not None:
            with suppress(OSError):  # it was cut already
                self._lent.shutdown(socket.SHUT_RDWR)
        if self._transport is not None:
            self._transport.abort()

    def all_written(self) -> bool:
        """Whether nothing waits to be written; `on_writable` tells when it no longer does."""
        if self._transport is None:
            return True
        self._transport.set_write_buffer_limits(high=0)
        return not self._transport.get_write_buffer_size()

    def lend(self) -> tuple[socket.socket, bytes]:
        """The socket, for another reader and writer, with what has come of a message.

        While it is paused, and when all is written. Until `take_back` this channel leaves it
        alone, but for `abort`. Raises `ConnectionError` when the core is amid a message.
        """
        rest = None if self._reader is None else self._reader.take_rest()
        if rest is None or self._transport is None:
            raise ConnectionError("the peer speaks out of turn")
        if self._transport.get_extra_info("ssl_object") is not None:
            raise ConnectionError("what its socket carries is not what is sent: it is encrypted")
        # Not asyncio's own object: uvloop's cannot be used, and who closes this one is plain.
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        self._lent = socket.socket(fileno=descriptor)
        return self._lent, rest

    def take_back(self, rest: bytes) -> None:
        """The other has closed its socket, and leaves these bytes unread."""
        self._lent = None
        if self._transport is None:
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if rest:
            self.data_received(rest)
        self.resume_reading()

    def pause_reading(self) -> None:
        """Take no more messages until `resume_reading`; the peer feels it as back-pressure."""
        self._held_by_user = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Undo `pause_reading`. Twice is safe."""
        self._held_by_user = False
        self._read_or_not()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the handshake, when it is ours to open."""
        # Not asserted: uvloop's transports are not asyncio's by class, only by behaviour.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self._aborted:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self.heard = loop.time()
        self._handshake = loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort, "no websocket handshake")
        if isinstance(self._core, ClientProtocol):
            self._core.send_request(self._core.connect())
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Feed the core and hand on what came of it."""
        self.heard = asyncio.get_running_loop().time()
        if self._reader is None and self._head is not None:
            data = self._feed_handshake(self._head, data)
        if self._reader is None:
            if data:
                self._feed_core(data)
            return
        for kind, content in self._reader.feed(data):
            if self._aborted:
                return
            if kind == CORE:
                self._feed_core(content)
            elif self._core.state is OPEN:
                self._on_message(kind, content)  # what it sends is flushed, or lazy

    def eof_received(self) -> bool:
        """The peer ends; the core decides what that means."""
        self._core.receive_eof()
        self._handle_received()
        return False

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.congested = True

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.congested = False
        self._held_by_backlog = False
        self._read_or_not()
        if self._receiver is not None:
            self._receiver.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The pipe is gone, for whatever reason."""
        if self._core.state is not CLOSED:
            self._core.receive_eof()
        self._end_handshake()
        if self._closing is not None:
            self._closing.cancel()
        self._transport = None
        if self._receiver is not None:
            self._receiver.on_close(self._why_closed(exc))
        self.closed.set_result(None)

    # --- inside

    def _feed_core(self, data: bytes) -> None:
        self._core.receive_data(data)
        self._handle_received()

    def _feed_handshake(self, head: bytes, data: bytes) -> bytes:
        """Give the core no more than the handshake, and return the rest.

        It would look at what follows, and answer it, before the handshake was answered. From there
        on messages go past it.
        """
        end = (head + data).find(_HEAD_END)
        if end < 0:
            self._head = (head + data)[1 - len(_HEAD_END) :]
            self._feed_core(data)
            return b""
        self._head, behind = None, end + len(_HEAD_END) - len(head)
        self._feed_core(data[:behind])
        if self._core.state is OPEN:
            limit = MAX_FRAME if self.masks or self.trusted else MAX_HANDSHAKE_FRAME
            self._reader = FrameReader(masked=not self.masks, limit=limit)
        return data[behind:]

    def _on_message(self, kind: int, message: bytes) -> None:
        assert self._receiver is not None
        if kind == TEXT:
            self._receiver.on_text(message)
        else:
            self._receiver.on_binary(message)

    def _handle_received(self) -> None:
        for event in self._core.events_received():
            if self._aborted:
                return
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Request):
                self._on_request(event)
            else:
                self._on_response(event)
        self._flush()

    def _on_request(self, request: Request) -> None:
        assert isinstance(self._core, ServerProtocol)
        assert self._route is not None
        response = self._core.accept(request)
        if response.status_code == 101:
            self._receiver = self._route(request.path)
            if self._receiver is None:
                response = self._core.reject(404, "nothing is served here\n")
        self._core.send_response(response)
        self._flush()
        if self._receiver is not None:
            self._open(request.path)

    def _on_response(self, response: Response) -> None:
        if self._core.handshake_exc is None:
            self._open("")
        else:
            self._close_reason = f"websocket handshake refused ({response.status_code})"

    def _open(self, path: str) -> None:
        assert self._receiver is not None
        self._end_handshake()
        self._receiver.on_open(self, path)

    def _end_handshake(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _on_frame(self, frame: Frame) -> None:
        assert self._receiver is not None
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._receiver.on_text(bytes(frame.data))
        elif frame.opcode is Opcode.BINARY and frame.fin:
            self._receiver.on_binary(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self._receiver.on_pong()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._on_part(frame)

    def _on_part(self, frame: Frame) -> None:
        """Tether sends whole messages; another peer may not. The core bounds their sum."""
        assert self._receiver is not None
        if frame.opcode is not Opcode.CONT:
            self._message_opcode = frame.opcode
        self._message += frame.data
        if not frame.fin:
            return
        message, self._message = bytes(self._message), bytearray()
        if self._message_opcode is Opcode.TEXT:
            self._receiver.on_text(message)
        else:
            self._receiver.on_binary(message)

    def _flush_lazy(self) -> None:
        self._lazy = None
        self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        pieces, self._frames = self._frames + self._core.data_to_send(), []
        if not pieces:
            return
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        ends = not pieces[-1]  # an empty piece is the core's word for the end
        if len(pieces) > 1 and sum(map(len, pieces)) < JOIN_BELOW:
            pieces = [b"".join(pieces)]
        for data in pieces:
            if data:
                transport.write(data)
        if ends and not self._eof_sent:
            self._eof_sent = True
            self._end_writing(transport)
        if self._closing is None and self._core.close_expected():
            self._closing = Closing(transport, self.abort)
        if self.congested and transport.get_write_buffer_size() > WRITE_LIMIT:
            self._held_by_backlog = True
            self._read_or_not()

    def _end_writing(self, transport: asyncio.Transport) -> None:
        """Say the end, and read on to the peer's: closing on unread bytes would make the kernel
        take back what the peer has not read yet, the reason of the close among it.
        """
        if self._core.state is not CLOSED and transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _read_or_not(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._held_by_user or self._held_by_backlog:
            if transport.is_reading():
                transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def _why_closed(self, exc: Exception | None) -> str:
        if self._close_reason:
            return self._close_reason
        for problem in (self._core.parser_exc, exc, self._core.handshake_exc):
            if problem is not None and not isinstance(problem, EOFError):
                return str(problem) or type(problem).__name__
        close = self._core.close_rcvd
        if close is not None:
            return close.reason or f"closed by the peer ({close.code})"
        return "the connection was cut"


def client_channel(path: str, receiver: Receiver) -> Channel:
    """The side that opens the handshake: the server beside the agent."""
    uri = WebSocketURI(secure=False, host="sandbox", port=80, path=path, query="")
    core = ClientProtocol(uri, max_size=MAX_FRAME)
    return Channel(core, receiver=receiver)


def server_channel(route: Route) -> Channel:
    """The side that answers it: the runtime client. Messages stay short until `Channel.trust`."""
    return Channel(ServerProtocol(max_size=MAX_HANDSHAKE_FRAME), route=route)
