"""Ports, forwarded both ways, over SSH and over Tether."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from contextlib import suppress

from .doors import HERE, Door

SERVES = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
for _ in range(10):
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as reader:
        connection.sendall(reader.read()[::-1])
"""
ASKS = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"who is there?")
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile("rb").read().decode())
"""


def program(door: Door, text: str) -> str:
    """It, for the Python that is there."""
    python = sys.executable if door.name in ("ssh", "local") else "/opt/tether/bin/python3"
    return f"exec {shlex.quote(python)} -c {shlex.quote(text)}"


async def ask(port: int, data: bytes) -> bytes:
    """What it says to this, when it has heard all of it."""
    reader, writer = await asyncio.open_connection(HERE, port)
    writer.write(data)
    writer.write_eof()
    told = await reader.read()
    writer.close()
    return told


async def test_a_port_there_is_reached_from_here(door: Door) -> None:
    """By many at once; the end of what is said goes ahead of the answer."""
    sent = [os.urandom(300_000) for _ in range(10)]
    async with door.start(program(door, SERVES)) as service:
        async with door.forward(int(await service.line())) as port:
            told = await asyncio.gather(*(ask(port, data) for data in sent))
        assert (await service.done()).exit_code == 0
    assert told == [data[::-1] for data in sent]


async def test_a_port_here_is_reached_from_there(door: Door) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said: " + await reader.read())
        writer.close()

    server = await asyncio.start_server(answer, HERE, 0)
    async with server, door.reverse(server.sockets[0].getsockname()[1]) as port:
        said = await door.output(f"{program(door, ASKS)} {port}")
    assert said == "you said: who is there?\n"


async def test_a_port_where_nobody_listens(door: Door) -> None:
    """A connection to it ends without a word."""
    async with door.start(program(door, SERVES)) as service:
        port = int(await service.line())
        async with door.forward(port) as here:
            assert await ask(here, b"abc") == b"cba"
            assert [await ask(here, b"x") for _ in range(9)] == [b"x"] * 9
            assert (await service.done()).exit_code == 0
            with suppress(ConnectionError):
                assert await ask(here, b"abc") == b""
