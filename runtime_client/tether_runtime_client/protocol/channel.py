"""A websocket over any connected byte pipe, on asyncio: the thin shell around `websockets`' core.

The core (`websockets.client.ClientProtocol`, `websockets.server.ServerProtocol`) does no I/O;
this class moves its bytes. Messages are handed to a receiver in the read callback itself: no
task, no queue and no copy stand between the socket and the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from .limits import HANDSHAKE_TIMEOUT_S, MAX_FRAME

LAZY_S = 0.002
"""How long a lazy message waits for another to go with."""

JOIN_BELOW = 64 * 1024
"""Messages that leave together are joined to one write below this many bytes."""

WRITE_HIGH_WATER = 1024 * 1024
"""Bytes waiting in the transport at which a sender is asked to stop."""


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
        self._receiver = receiver
        self._route = route
        self._handshake: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._parts_opcode = Opcode.TEXT
        self._close_reason = ""
        self._eof_sent = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lazy: asyncio.TimerHandle | None = None
        self.congested = False

    # --- what users of a channel call

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._core.state is OPEN and self._transport is not None

    def send_text(self, text: bytes, *, lazy: bool = False) -> None:
        """Send one text message; silently nothing once closed (`on_close` tells).

        A `lazy` one waits a moment for company: whatever is sent next takes it along, in order,
        so that two messages cost one system call here and one wake-up there.
        """
        if not self.is_open:
            return
        self._core.send_text(text)
        if not lazy:
            self._flush()
        elif self._lazy is None:
            loop = asyncio.get_running_loop()
            self._lazy = loop.call_later(LAZY_S, self._flush_lazy)

    def send_binary(self, data: bytes | memoryview) -> None:
        """Send one binary message; silently nothing once closed."""
        if self.is_open:
            self._core.send_binary(data)
            self._flush()

    def ping(self) -> None:
        """Ask the peer for a sign of life; its pong is answered by the core."""
        if self.is_open:
            self._core.send_ping(b"")
            self._flush()

    def close(self, reason: str = "", code: int = CloseCode.NORMAL_CLOSURE) -> None:
        """Start the closing handshake. Twice is safe."""
        self._close_reason = self._close_reason or reason
        if self.is_open:
            self._core.send_close(code, reason[:100])
            self._flush()
        elif self._transport is not None:
            self._transport.close()

    def abort(self, reason: str = "") -> None:
        """Drop the connection now, without a word. Twice is safe."""
        self._close_reason = self._close_reason or reason
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Take no more messages until `resume_reading`; the peer feels it as back-pressure."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`. Twice is safe."""
        if self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the handshake, when it is ours to open."""
        # Not asserted: uvloop's transports are not asyncio's by class, only by behaviour.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        loop = asyncio.get_running_loop()
        self._handshake = loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort, "no websocket handshake")
        if isinstance(self._core, ClientProtocol):
            self._core.send_request(self._core.connect())
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Feed the core and hand on what came of it."""
        self._core.receive_data(data)
        self._handle_received()

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
        if self._receiver is not None:
            self._receiver.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The pipe is gone, for whatever reason."""
        if self._core.state is not CLOSED:
            self._core.receive_eof()
        self._end_handshake()
        self._transport = None
        if self._receiver is not None:
            self._receiver.on_close(self._why_closed(exc))
        self.closed.set_result(None)

    # --- inside

    def _handle_received(self) -> None:
        for event in self._core.events_received():
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
            self._parts_opcode = frame.opcode
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        message, self._parts = b"".join(self._parts), []
        if self._parts_opcode is Opcode.TEXT:
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
        pieces = self._core.data_to_send()
        if not pieces:
            return
        ends = not pieces[-1]  # an empty piece is the core's word for the end
        if len(pieces) > 1 and sum(map(len, pieces)) < JOIN_BELOW:
            pieces = [b"".join(pieces)]
        for data in pieces:
            if data:
                transport.write(data)
        if ends and not self._eof_sent:
            self._eof_sent = True
            transport.close()

    def _why_closed(self, exc: Exception | None) -> str:
        if self._close_reason:
            return self._close_reason
        for problem in (self._core.handshake_exc, self._core.parser_exc, exc):
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
    """The side that answers it: the runtime client."""
    return Channel(ServerProtocol(max_size=MAX_FRAME), route=route)
