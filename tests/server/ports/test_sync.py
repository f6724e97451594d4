"""The same without asyncio."""

from __future__ import annotations

import socket
import sys

import pytest

from tether_server import PortTaken, SyncEventStreamRuntime

from .services import SOURCE


def told(port: int, line: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            return file.read()


def test_ports_both_ways() -> None:
    with SyncEventStreamRuntime(backend="local") as runtime:
        process = runtime.spawn([sys.executable, "-c", SOURCE])
        inside = int(process.stdout.readline())
        with runtime.forward(inside) as forward:
            assert str(forward) == forward.url == f"http://127.0.0.1:{forward.port}"
            assert forward.address == ("127.0.0.1", forward.port)
            assert forward.token is None
            assert told(forward.port, b"echo\nhello ") == b"hello bye"
            assert forward.counts.connections == 1
            with pytest.raises(PortTaken):
                runtime.forward(inside, port=forward.port + 1)
            reverse = runtime.reverse(forward.port, port=0)
            assert told(reverse.port, b"echo\nround ") == b"round bye"
            assert [one.url for one in runtime.ports] == [forward.url, reverse.url]
            reverse.close()
        assert forward.closed
        assert forward.problem is None
        assert (
            repr(forward) == f"<SyncForward 127.0.0.1:{forward.port} here, {inside} inside closed>"
        )
        with pytest.raises(ConnectionRefusedError):
            told(forward.port, b"")
        left = runtime.forward(inside)
    assert left.closed
    left.close()
