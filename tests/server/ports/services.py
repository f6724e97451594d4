"""The service inside, and what tests do with a connection to it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tether_server import EventStreamRuntime

SOURCE = Path(__file__).with_name("service.py").read_text()


@asynccontextmanager
async def service(runtime: EventStreamRuntime, *arguments: str) -> AsyncIterator[int | str]:
    """A running service inside; its port on the sandbox's loopback, or its socket's path."""
    python = sys.executable if runtime._spec.image is None else "/opt/tether/bin/python3"
    async with await runtime.spawn([python, "-c", SOURCE, *arguments]) as process:
        where = (await process.stdout.readline()).decode().strip()
        assert where, await process.stderr.read()
        yield int(where) if where.isdecimal() else where


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(address: tuple[str, int] | str, line: str = "") -> Pair:
    """A connection on which that line was said."""
    if isinstance(address, str):
        pair = await asyncio.open_unix_connection(address)
    else:
        pair = await asyncio.open_connection(*address)
    if line:
        pair[1].write(line.encode() + b"\n")
    return pair


async def told(address: tuple[str, int] | str, line: str, data: bytes = b"") -> bytes:
    """What the service says to that line, the data and their end."""
    reader, writer = await connected(address, line)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, whatever has become of the connection."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


async def eventually(condition: Callable[[], object]) -> None:
    """Return when something holds that nobody tells of."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
