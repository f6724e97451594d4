"""An engine's exec as a pipe: every byte, and either end of it alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket

import docker
import pytest

from tether_server import EventStreamRuntime
from tether_server.backends.entry import CLIENT, PREFIX
from tether_server.backends.handover import own
from tether_server.record import load_record
from tether_server.transports import ExecTransport

pytestmark = pytest.mark.engine

SIZE = 50 * 1024 * 1024
ECHO = """
import socket
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("/tmp/echo")
    listener.listen()
    while True:
        connection, _ = listener.accept()
        with connection:
            came = b"".join(iter(lambda: connection.recv(1 << 20), b""))
            connection.sendall(came)
"""


async def test_fifty_megabytes_and_then_half_a_close(debian: str) -> None:
    """The service answers when it has seen the end: which is the half-close, through all layers."""
    content = os.urandom(1 << 20) * (SIZE >> 20)
    client = docker.from_env(version="auto")
    async with EventStreamRuntime(debian, network="none") as runtime:
        container = load_record(runtime.name).handle["container"]

        def open_exec() -> socket.socket:
            command = [CLIENT, "connect", "/tmp/echo"]
            made = client.api.exec_create(container, command, stdin=True)
            return own(client.api.exec_start(made["Id"], socket=True))

        serving = asyncio.create_task(runtime.exec([f"{PREFIX}/bin/python3", "-c", ECHO]))
        await runtime.exec(["sh", "-c", "until [ -S /tmp/echo ]; do :; done"])
        transport = ExecTransport(open_exec, "a test")
        for body in (content, b"", b"short"):
            reader, writer = await asyncio.open_connection(sock=await transport.connect())
            writer.write(body)
            writer.write_eof()
            back = await asyncio.wait_for(reader.read(), 60)
            assert hashlib.sha256(back).digest() == hashlib.sha256(body).digest()
            writer.close()
        await transport.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    client.close()
