"""Off loopback nobody comes in without a token or TLS, and the sandbox does not learn the token."""

from __future__ import annotations

import asyncio
import base64
import http.client
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from tether_server import EventStreamRuntime, Forward, InvalidAction, PortUnprotected
from tether_server.ports import guard

from .certificates import Authority
from .services import closed, connected, eventually, told

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "a-token-of-the-test-s-own"


async def asked(forward: Forward, head: str, rest: bytes = b"") -> bytes:
    data = head.replace("\n", "\r\n").encode() + b"\r\n" + rest
    return await told(("127.0.0.1", forward.port), "", data)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
async def test_it_is_required_where_others_reach_it(
    runtime: EventStreamRuntime, port: int, bind: str
) -> None:
    with pytest.raises(PortUnprotected, match="other machines reach") as caught:
        await runtime.forward(port, bind=bind)
    assert "token=True" in caught.value.hint
    assert runtime.ports == ()


async def test_a_token_that_is_none_is_refused(runtime: EventStreamRuntime, port: int) -> None:
    for token in ("", "short", "with a space in it somewhere", "with\r\na line of its own"):
        with pytest.raises(InvalidAction, match="token"):
            await runtime.forward(port, token=token)


async def test_who_shows_the_token_comes_in_and_it_stays_here(
    runtime: EventStreamRuntime, port: int
) -> None:
    forward = await runtime.forward(port, bind="0.0.0.0", token=TOKEN)
    assert forward.protected
    assert forward.url == f"http://127.0.0.1:{forward.port}"
    proxy = base64.b64encode(b"any:" + TOKEN.encode()).decode()
    for head in (
        f"GET / HTTP/1.1\nHost: x\nAuthorization: Bearer {TOKEN}\n",
        f"GET / HTTP/1.1\nhost: x\nx-tether-token:{TOKEN}\n",
        f"GET /?tether_token={TOKEN} HTTP/1.1\nHost: x\n",
        f"GET /?a=1&tether_token={TOKEN}&b=2 HTTP/1.1\nHost: x\n",
    ):
        answer = await asked(forward, head)
        assert b"200 OK" in answer, head
        assert TOKEN.encode() not in answer, "the service tells what it was sent"
    assert b"/?a=1&b=2 HTTP" in answer
    tunnel = await asked(
        forward,
        f"CONNECT any:1 HTTP/1.1\nProxy-Authorization: Basic {proxy}\n",
        b"echo\nno HTTP at all ",
    )
    assert tunnel.endswith(b"\r\n\r\nno HTTP at all bye")


async def test_nobody_else_does(runtime: EventStreamRuntime, port: int) -> None:
    forward = await runtime.forward(port, bind="0.0.0.0", token=True)
    assert forward.token is not None
    assert len(forward.token) >= 32
    wrong = forward.token[:-1] + "?"
    heads = (
        "GET / HTTP/1.1\nHost: x\n",
        f"GET / HTTP/1.1\nAuthorization: Bearer {wrong}\n",
        f"GET / HTTP/1.1\nAuthorization: Basic {forward.token}\n",
        f"GET /?tether_token={wrong} HTTP/1.1\nHost: x\n",
        f"GET / HTTP/1.1\nX-Other: {forward.token}\n",
        f"CONNECT x:1 HTTP/1.1\nProxy-Authorization: Basic {forward.token}\n",
        f"POST / HTTP/1.1\nHost: x\n\nX-Tether-Token: {forward.token}\n",
    )
    for head in heads:
        answer = await asked(forward, head)
        assert answer.startswith(b"HTTP/1.1 401 "), head
    assert forward.counts.connections == 0
    assert forward.counts.turned_away == len(heads)
    for strange in ("echo", "\x16\x03\x01", "GET " + "x" * 2 * guard.MAX_HEAD):
        reader, writer = await connected(forward.address, strange)
        with suppress(ConnectionError):  # it was told, and may be too late to hear it
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        await closed(writer)
    assert forward.counts.connections == 0


async def test_tls_with_a_private_authority(
    runtime: EventStreamRuntime, port: int, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    forward = await runtime.forward(port, bind="0.0.0.0", tls=context)
    assert str(forward).startswith("https://127.0.0.1:")
    mine = ssl.create_default_context(cafile=authority.certificate)
    mine.load_cert_chain(*authority.issue("me"))

    def fetch(trusting: ssl.SSLContext) -> bytes:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", forward.port, context=trusting, timeout=30
        )
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.request("GET", "/again")
            return connection.getresponse().read()
        finally:
            connection.close()

    assert (await asyncio.to_thread(fetch, mine)).startswith(b"2 GET /again")
    nobody = ssl.create_default_context(cafile=authority.certificate)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        await asyncio.to_thread(fetch, nobody)
    assert forward.counts.turned_away == 1
    assert forward.counts.connections == 1


async def test_a_break_is_seen_through_tls(
    runtime: EventStreamRuntime, port: int, tmp_path: Path
) -> None:
    """Without TLS's own word for an end, so that a part is not taken for the whole."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    forward = await runtime.forward(port, bind="127.0.0.1", tls=context)
    trusting = ssl.create_default_context(cafile=authority.certificate)
    trusting.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF

    def talk(line: bytes) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", forward.port), timeout=30) as plain,
            trusting.wrap_socket(
                plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
            ) as connection,
        ):
            connection.sendall(line)
            data = b""
            while more := connection.recv(4096):
                data += more
            return data

    assert await asyncio.to_thread(talk, b"send 100\n") == bytes(100)
    with pytest.raises((ssl.SSLEOFError, ConnectionError)):
        await asyncio.to_thread(talk, b"reset\n")
    await eventually(lambda: forward.counts.open == 0)
