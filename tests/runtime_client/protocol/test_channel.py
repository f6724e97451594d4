"""The websocket over a real socket pair: whole and cut messages, pressure, and every way to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.uri import WebSocketURI

from tether_runtime_client.protocol import channel as channel_module
from tether_runtime_client.protocol import closing
from tether_runtime_client.protocol.channel import (
    WRITE_HIGH_WATER,
    WRITE_LIMIT,
    Channel,
    Receiver,
    client_channel,
    server_channel,
)
from tether_runtime_client.protocol.limits import MAX_FRAME, MAX_HANDSHAKE_FRAME

EVENTS = "/events"


class Inbox:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.channel: Channel | None = None
        self.news = asyncio.Event()

    def _tell(self, *what: Any) -> None:
        self.told.append(what if len(what) > 1 else what[0])
        self.news.set()

    def on_open(self, channel: Channel, path: str) -> None:
        self.channel = channel
        self._tell("open", path)

    def on_text(self, text: bytes) -> None:
        self._tell("text", text)

    def on_binary(self, data: bytes) -> None:
        self._tell("binary", data)

    def on_pong(self) -> None:
        self._tell("pong")

    def on_writable(self) -> None:
        self._tell("writable")

    def on_close(self, reason: str) -> None:
        self._tell("close", reason)

    async def until(self, count: int) -> list[Any]:
        while len(self.told) < count:
            self.news.clear()
            await self.news.wait()
        return self.told

    async def until_closed(self) -> str:
        while not self.told or self.told[-1][0] != "close":
            self.news.clear()
            await self.news.wait()
        return str(self.told[-1][1])


class RawPeer:
    """The other end as a hostile program would hold it: a socket, and frames made by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.core = ClientProtocol(WebSocketURI(False, "x", 80, EVENTS, ""), max_size=None)
        self.got: list[Frame] = []

    async def open(self) -> None:
        self.core.send_request(self.core.connect())
        await self.flush()
        while not self.core.events_received():
            await self.receive()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def frame(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        await self.send(Frame(opcode, data, fin=fin).serialize(mask=True))

    async def flush(self) -> None:
        for data in self.core.data_to_send():
            if data:
                await self.send(data)

    async def receive(self) -> bool:
        """Feed the core once; False at the end."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 18)
        except ConnectionResetError:
            return False
        if data:
            self.core.receive_data(data)
        else:
            self.core.receive_eof()
        return bool(data)

    async def frames(self, *, answer: bool = False) -> list[Frame]:
        """Everything until the other side ends; with `answer` its close is answered."""
        found: list[Frame] = []
        while await self.receive():
            found += [event for event in self.core.events_received() if isinstance(event, Frame)]
            if answer:
                await self.flush()
        return found


@asynccontextmanager
async def served(
    route: Callable[[str], Receiver | None],
) -> AsyncIterator[tuple[Channel, RawPeer]]:
    """The client's side of a channel, and whoever is at the other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    made = server_channel(route)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: made, ours)
    try:
        yield made, RawPeer(theirs)
    finally:
        theirs.close()
        made.abort()
        await asyncio.wait_for(made.closed, 5)


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Channel, RawPeer, Inbox]]:
    """The same, past the websocket handshake."""
    inbox = Inbox()
    async with served(lambda path: inbox) as (made, peer):
        await peer.open()
        assert await inbox.until(1) == [("open", EVENTS)]
        inbox.told.clear()
        yield made, peer, inbox


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Inbox, Channel, Inbox]]:
    """Both sides of ours: the one that opens, and the one that serves."""
    ours, theirs = socket.socketpair()
    here, there = Inbox(), Inbox()
    server = server_channel(lambda path: there)
    client = client_channel(EVENTS, here)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: server, ours)
    await loop.create_connection(lambda: client, sock=theirs)
    await here.until(1)
    await there.until(1)
    here.told.clear()
    there.told.clear()
    try:
        yield client, here, server, there
    finally:
        client.abort()
        server.abort()
        await asyncio.wait_for(asyncio.gather(client.closed, server.closed), 5)


# --- messages --------------------------------------------------------------------------------


async def test_both_sides_speak() -> None:
    async with pair() as (client, here, server, there):
        client.send_text(b"to the sandbox")
        server.send_binary(memoryview(b"\x00\xff"))
        server.send_text("é".encode())
        client.send_text(b"")
        assert await there.until(2) == [("text", b"to the sandbox"), ("text", b"")]
        assert await here.until(2) == [("binary", b"\x00\xff"), ("text", "é".encode())]
        assert client.is_open
        assert server.heard > 0


async def test_a_lazy_message_goes_with_the_next_and_in_order() -> None:
    async with pair() as (client, _, _, there):
        client.send_text(b"1", lazy=True)
        client.send_text(b"2", lazy=True)
        client.send_text(b"3")
        assert await there.until(3) == [("text", b"1"), ("text", b"2"), ("text", b"3")]


async def test_a_lazy_message_alone_goes_by_itself() -> None:
    async with pair() as (client, _, _, there):
        client.send_text(b"alone", lazy=True)
        assert await there.until(1) == [("text", b"alone")]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5, 30], ids=str)
async def test_frames_that_come_with_the_handshake_or_look_like_its_end(cut: int) -> None:
    """A frame's payload may hold what a handshake ends with, wherever the pieces are cut."""
    payloads = [b"\r\n\r\n", b"one \r\n\r\n", b"two", b"\r\n\r\n\x82\x80\0\0\0\0"]
    # A mask of zeroes leaves the payload as it is.
    frames = b"".join(bytes([0x82, 0x80 | len(d), 0, 0, 0, 0]) + d for d in payloads)
    inbox = Inbox()
    async with served(lambda path: inbox) as (_, peer):
        peer.core.send_request(peer.core.connect())
        whole = b"".join(peer.core.data_to_send()) + frames
        at = len(whole) - len(frames) - 2 + cut
        amid = len(whole) - 6  # what follows in the last payload looks like a frame, too
        await peer.send(whole[:at])
        await peer.receive() if cut >= 2 else await asyncio.sleep(0.01)
        await peer.send(whole[at:amid])
        await asyncio.sleep(0.01)
        await peer.send(whole[amid:])
        assert await inbox.until(5) == [("open", EVENTS), *(("binary", d) for d in payloads)]


async def test_a_ping_is_answered_and_its_pong_told() -> None:
    async with pair() as (client, here, server, there):
        client.ping()
        assert await here.until(1) == ["pong"]
        server.ping()
        assert await there.until(1) == ["pong"]


async def test_a_peers_ping_is_answered_with_its_payload() -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(Opcode.PING, b"payload")
        await peer.receive()
        (pong,) = peer.core.events_received()
        assert isinstance(pong, Frame)
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"payload")
        assert inbox.told == []


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
async def test_a_message_in_parts_comes_as_one(opcode: Opcode) -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(opcode, b"one ", fin=False)
        await peer.frame(Opcode.PING)
        await peer.frame(Opcode.CONT, b"two ", fin=False)
        await peer.frame(Opcode.CONT, b"three")
        await peer.frame(Opcode.TEXT, b"next")
        kind = "text" if opcode is Opcode.TEXT else "binary"
        assert await inbox.until(2) == [(kind, b"one two three"), ("text", b"next")]


async def test_bytes_may_be_cut_anywhere() -> None:
    async with opened() as (_, peer, inbox):
        data = b"".join(
            Frame(Opcode.TEXT, text).serialize(mask=True) for text in (b"a" * 300, b"", b"xyz")
        )
        for index in range(len(data)):
            await peer.send(data[index : index + 1])
        assert await inbox.until(3) == [("text", b"a" * 300), ("text", b""), ("text", b"xyz")]


async def test_empty_parts_cost_no_memory() -> None:
    async with opened() as (made, peer, inbox):
        await peer.frame(Opcode.TEXT, b"a", fin=False)
        empty = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
        for _ in range(20):
            await peer.send(empty * 1000)
        await peer.frame(Opcode.CONT, b"b")
        assert await inbox.until(1) == [("text", b"ab")]
        assert made._message == b""


# --- limits ----------------------------------------------------------------------------------


async def test_an_over_long_message_ends_with_1009_and_its_size() -> None:
    async with opened() as (made, peer, inbox):
        made.trust()
        sending = asyncio.create_task(peer.frame(Opcode.TEXT, b"x" * (MAX_FRAME + 1)))
        (close,) = await peer.frames()
        assert close.opcode is Opcode.CLOSE
        assert peer.core.close_rcvd is not None
        assert peer.core.close_rcvd.code == CloseCode.MESSAGE_TOO_BIG
        assert str(MAX_FRAME + 1) in peer.core.close_rcvd.reason
        await sending
        peer.socket.shutdown(socket.SHUT_WR)
        assert str(MAX_FRAME) in await inbox.until_closed()
        assert len(inbox.told) == 1


async def test_the_longest_message_is_taken() -> None:
    async with opened() as (made, peer, inbox):
        made.trust()
        await peer.frame(Opcode.TEXT, b"x" * MAX_FRAME)
        ((_, text),) = await inbox.until(1)
        assert len(text) == MAX_FRAME


async def test_parts_are_bounded_in_their_sum() -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(Opcode.TEXT, b"x" * MAX_HANDSHAKE_FRAME, fin=False)
        await peer.frame(Opcode.CONT, b"x")
        await peer.frames()
        assert peer.core.close_rcvd is not None
        assert peer.core.close_rcvd.code == CloseCode.MESSAGE_TOO_BIG
        peer.socket.close()
        await inbox.until_closed()


async def test_a_stranger_may_send_short_messages_only() -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(Opcode.TEXT, b"x" * MAX_HANDSHAKE_FRAME)
        await inbox.until(1)
        await peer.frame(Opcode.TEXT, b"x" * (MAX_HANDSHAKE_FRAME + 1))
        await peer.frames()
        assert peer.core.close_rcvd is not None
        assert peer.core.close_rcvd.code == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff", CloseCode.PROTOCOL_ERROR),
        (b"\x83\x80\0\0\0\0", CloseCode.PROTOCOL_ERROR),
        (b"\x81\x05hello", CloseCode.PROTOCOL_ERROR),
        (b"\x80\x80\0\0\0\0", CloseCode.PROTOCOL_ERROR),
        (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, CloseCode.PROTOCOL_ERROR),
        (b"\xc1\x80\0\0\0\0", CloseCode.PROTOCOL_ERROR),
        (b"\x88\x81\0\0\0\0x", CloseCode.PROTOCOL_ERROR),
    ],
    ids=["reserved", "opcode", "unmasked", "continuation", "long-ping", "rsv", "short-close"],
)
async def test_bytes_that_are_no_websocket_end_the_connection(data: bytes, code: CloseCode) -> None:
    async with opened() as (_, peer, inbox):
        await peer.send(data)
        await peer.frames()
        assert peer.core.close_rcvd is not None
        assert peer.core.close_rcvd.code == code
        peer.socket.close()
        assert await inbox.until_closed()


# --- pressure --------------------------------------------------------------------------------


async def test_a_sender_is_told_when_to_stop_and_when_to_go_on() -> None:
    async with opened() as (made, peer, inbox):
        sent = 0
        while not made.congested:
            made.send_text(b"x" * 65536)
            sent += 1
        assert inbox.told == []
        received = 0
        while received < sent:
            await peer.receive()
            received += len(peer.core.events_received())
        await inbox.until(1)
        assert inbox.told == ["writable"]
        assert not made.congested


async def test_a_peer_that_asks_and_never_reads_is_read_no_more() -> None:
    """Each ping makes a pong: what it does not take must not pile up here."""
    async with opened() as (made, peer, _):
        transport = made._transport
        assert transport is not None
        flood = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 1000
        while transport.is_reading():
            await peer.send(flood)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    await peer.send(flood)
        assert transport.get_write_buffer_size() < WRITE_LIMIT + WRITE_HIGH_WATER
        assert not transport.is_reading()
        while not transport.is_reading():
            await peer.receive()


async def test_a_pause_by_the_user_outlasts_the_pressure() -> None:
    async with opened() as (made, peer, inbox):
        transport = made._transport
        assert transport is not None
        made.pause_reading()
        made.pause_reading()
        while transport.get_write_buffer_size() <= WRITE_LIMIT:
            made.send_text(b"x" * 65536)
        while made.congested:
            await peer.receive()
        assert not transport.is_reading()
        await peer.frame(Opcode.TEXT, b"later")
        assert inbox.told == ["writable"]
        made.resume_reading()
        made.resume_reading()
        assert (await inbox.until(2))[1] == ("text", b"later")


# --- opening ---------------------------------------------------------------------------------


async def test_an_unknown_path_is_told_so() -> None:
    async with served(lambda path: None) as (made, peer):
        peer.core.send_request(peer.core.connect())
        await peer.flush()
        while await peer.receive():
            pass
        assert "404" in str(peer.core.handshake_exc)
        peer.socket.close()
        await asyncio.wait_for(made.closed, 5)


async def test_a_client_learns_why_it_was_refused() -> None:
    ours, theirs = socket.socketpair()
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = server_channel(lambda path: None)
    client = client_channel("/nowhere", inbox)
    await loop.connect_accepted_socket(lambda: server, ours)
    await loop.create_connection(lambda: client, sock=theirs)
    assert await inbox.until_closed() == "websocket handshake refused (404)"
    assert len(inbox.told) == 1
    await asyncio.wait_for(server.closed, 5)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /events HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
    ],
    ids=["no-upgrade", "post", "tls", "zeros", "long-line", "many-headers", "ssh"],
)
async def test_what_is_no_websocket_handshake_is_refused(request_bytes: bytes) -> None:
    async with served(lambda path: Inbox()) as (made, peer):
        await peer.send(request_bytes)
        peer.socket.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(made.closed, 5)


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "HANDSHAKE_TIMEOUT_S", 0.05)
    async with served(lambda path: Inbox()) as (made, peer):
        await peer.send(b"GET /events HT")
        await asyncio.wait_for(made.closed, 5)
        assert not await peer.receive()


async def test_a_peer_that_goes_before_the_handshake() -> None:
    async with served(lambda path: Inbox()) as (made, peer):
        peer.socket.close()
        await asyncio.wait_for(made.closed, 5)


async def test_the_opener_is_told_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "HANDSHAKE_TIMEOUT_S", 0.05)
    ours, theirs = socket.socketpair()
    inbox = Inbox()
    client = client_channel(EVENTS, inbox)
    await asyncio.get_running_loop().create_connection(lambda: client, sock=theirs)
    assert await inbox.until_closed() == "no websocket handshake"
    ours.close()


# --- ending ----------------------------------------------------------------------------------


async def end_by_close(channel: Channel) -> None:
    channel.close("the reason")


async def end_by_abort(channel: Channel) -> None:
    channel.abort("the reason")


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize(
    ("end", "told"), [(end_by_close, "the reason"), (end_by_abort, "the connection was cut")]
)
async def test_both_learn_of_the_end(
    side: str, end: Callable[[Channel], Awaitable[None]], told: str
) -> None:
    async with pair() as (client, here, server, there):
        mine, my_inbox, their_inbox = (
            (client, here, there) if side == "client" else (server, there, here)
        )
        await end(mine)
        await end(mine)
        assert not mine.is_open or end is end_by_abort
        assert await their_inbox.until_closed() == told
        assert await my_inbox.until_closed() == "the reason"
        assert len(here.told) == len(there.told) == 1
        await asyncio.wait_for(asyncio.gather(client.closed, server.closed), 5)
        for done in (client, server):
            done.send_text(b"x")
            done.send_binary(b"x")
            done.ping()
            done.close()
            done.abort()
            done.pause_reading()
            done.resume_reading()
        assert len(here.told) == len(there.told) == 1


async def test_what_was_sent_before_the_close_arrives() -> None:
    async with opened() as (made, peer, _):
        for _ in range(100):
            made.send_binary(b"x" * 65536)
        made.close("done")
        got = await peer.frames(answer=True)
        assert [len(frame.data) for frame in got[:-1]] == [65536] * 100
        assert got[-1].opcode is Opcode.CLOSE


async def test_a_long_reason_is_cut_between_characters() -> None:
    async with opened() as (made, peer, _):
        made.close("é" * 200)
        await peer.frames(answer=True)
        assert peer.core.close_rcvd is not None
        assert peer.core.close_rcvd.reason == "é" * 60


async def test_a_close_without_a_reason_is_told_by_its_code() -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(Opcode.CLOSE, b"\x03\xe9")
        await peer.frames()
        peer.socket.close()
        assert await inbox.until_closed() == "closed by the peer (1001)"


async def test_a_peer_that_does_not_answer_the_close_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT_S", 0.05)
    async with opened() as (made, _, inbox):
        made.close("enough")
        assert await inbox.until_closed() == "enough"


async def test_a_peer_that_stopped_reading_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT_S", 0.05)
    async with opened() as (made, _, inbox):
        while not made.congested:
            made.send_text(b"x" * 65536)
        made.close("enough")
        assert await inbox.until_closed() == "enough"


async def test_a_slow_reader_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(closing, "PATIENCE", 1000)
    async with opened() as (made, peer, _):
        sent = 0
        while not made.congested:
            made.send_text(b"x" * 65536)
            sent += 1
        made.close("done")
        await asyncio.sleep(1.2)
        got = await peer.frames(answer=True)
        assert len(got) == sent + 1


async def test_nothing_is_handed_on_after_an_abort() -> None:
    class Once(Inbox):
        def on_text(self, text: bytes) -> None:
            super().on_text(text)
            assert self.channel is not None
            self.channel.abort("enough")

    inbox = Once()
    async with served(lambda path: inbox) as (_, peer):
        await peer.open()
        await peer.send(Frame(Opcode.TEXT, b"x").serialize(mask=True) * 5)
        assert await inbox.until_closed() == "enough"
        assert inbox.told == [("open", EVENTS), ("text", b"x"), ("close", "enough")]


async def test_a_channel_may_be_aborted_before_its_connection_is_made() -> None:
    """Many connections are accepted in one go: their transports come a moment later."""
    ours, theirs = socket.socketpair()
    made = server_channel(lambda path: Inbox())
    made.abort("too many")
    await asyncio.get_running_loop().connect_accepted_socket(lambda: made, ours)
    await asyncio.wait_for(made.closed, 5)
    theirs.close()


async def test_messages_that_came_before_the_end_are_handed_on() -> None:
    async with opened() as (_, peer, inbox):
        await peer.send(Frame(Opcode.TEXT, b"x").serialize(mask=True) * 3)
        peer.socket.close()
        assert await inbox.until_closed() == "the connection was cut"
        assert inbox.told[:3] == [("text", b"x")] * 3


async def test_a_half_message_is_not_handed_on() -> None:
    async with opened() as (_, peer, inbox):
        await peer.frame(Opcode.TEXT, b"half", fin=False)
        await peer.send(b"\x80\xff\0\0\0\0\0\0\0\x10")
        peer.socket.close()
        assert await inbox.until_closed() == "the connection was cut"
        assert len(inbox.told) == 1
