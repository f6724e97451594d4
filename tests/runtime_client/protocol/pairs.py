"""Two channels of ours, joined by a socket pair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tether_runtime_client.protocol.bulk import BulkStream
from tether_runtime_client.protocol.channel import Channel, Receiver, client_channel, server_channel


@asynccontextmanager
async def joined(
    here: Receiver, there: Receiver, path: str = "/x"
) -> AsyncIterator[tuple[Channel, Channel]]:
    """The opener's channel for `here`, the server's for `there`; both are gone afterwards."""
    ours, theirs = socket.socketpair()
    server = server_channel(lambda _: there)
    client = client_channel(path, here)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: server, ours)
    await loop.create_connection(lambda: client, sock=theirs)
    try:
        yield client, server
    finally:
        client.abort()
        server.abort()
        await asyncio.wait_for(asyncio.gather(client.closed, server.closed), 5)


@asynccontextmanager
async def bulk_pair() -> AsyncIterator[tuple[BulkStream, BulkStream]]:
    """A bulk connection past its ticket: the server's end and the sandbox's."""
    here, there = BulkStream(), BulkStream()
    async with joined(here, there, "/bulk") as (_, server):
        await here.opened
        await there.opened
        server.trust()
        yield here, there
