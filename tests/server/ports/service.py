"""A program to be connected to: what it does with a connection is said in that one's first line.

    python service.py [SOCKET]      listens there, or on a free port of loopback, which it prints

`echo` gives back what comes and ends when it ends; `send N` sends so many zeros; `sink` counts, and
tells when all has come; `reset` breaks the connection; `stuck` reads nothing, `first N` reads that
many bytes and closes. A line of HTTP is answered as such, for as long as the connection is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys

CHUNK = bytes(256 * 1024)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        line = await reader.readline()
        mode, *words = line.decode("latin-1").split() or ["nothing"]
        if mode in MODES:
            await MODES[mode](reader, writer, *words)
        else:
            await http(reader, writer, line)
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(len(CHUNK)):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: str) -> None:
    left = int(count)
    while left > 0:
        writer.write(CHUNK[:left])
        await writer.drain()
        left -= len(CHUNK)


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    count = 0
    while data := await reader.read(len(CHUNK)):
        count += len(data)
    writer.write(b"%d" % count)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: str) -> None:
    writer.write(await reader.readexactly(int(count)))


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    served = 0
    while head:
        lines = [head]
        while (line := await reader.readline()).strip():
            lines.append(line)
        served += 1
        body = b"%d %s" % (served, b"".join(lines))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        head = await reader.readline()


MODES = {f.__name__: f for f in (echo, send, sink, reset, stuck, first)}


async def main() -> None:
    if len(sys.argv) > 1:
        server: asyncio.Server = await asyncio.start_unix_server(serve, sys.argv[1])
        where = sys.argv[1]
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        where = str(server.sockets[0].getsockname()[1])
    sys.stdout.write(f"{where}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
