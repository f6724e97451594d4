"""`auto` where the best way does not lead to the client."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path

import pytest

from tether_server import CmdRunAction, EventStreamRuntime, Unauthorized
from tether_server.record import sandbox_folder

from .conftest import StartBy

pytestmark = pytest.mark.engine


async def works(runtime: EventStreamRuntime) -> None:
    seen = await runtime.run(CmdRunAction(command="echo here"))
    assert seen.content == "here\n"


def leave_a_dead_socket(folder: Path) -> None:
    descriptor = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"/proc/self/fd/{descriptor}/client.sock")  # the whole path is too long
    os.close(descriptor)


async def test_a_folder_that_is_not_shared(start_by: StartBy) -> None:
    """As with an engine elsewhere: nothing is in the folder, or what nobody listens on any more."""
    async with start_by("auto", keep=True) as runtime:
        assert runtime.connection.startswith("unix: ")
    folder = sandbox_folder(runtime.name) / "socket"
    folder.rename(folder.with_name("the container's"))
    folder.mkdir()
    for problem in ("No such file", "nobody listens there"):
        async with EventStreamRuntime.attach(runtime.name) as again:
            assert again.connection.startswith("exec: ")
            assert f"unix does not work: {problem}" in again.connection
            took = re.search(r"exec answers in (\d+) ms", again.connection)
            assert took is not None
            assert int(took[1]) < 1700  # with its wait for its turn, under 2 s
            await works(again)
        if problem == "No such file":
            leave_a_dead_socket(folder)


REPLACE = """
import os, socket
os.chdir("/opt/tether/socket")
os.unlink("client.sock")
listener = socket.socket(socket.AF_UNIX)
listener.bind("client.sock")
listener.listen()
open("/tmp/replaced", "w").close()
while True:
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.sendall(b"I am the client, trust me")
    connection.close()
"""


async def test_an_agent_that_puts_itself_in_the_client_s_place(start_by: StartBy) -> None:
    """It is not taken for the client, whatever it says; another transport goes past it."""
    async with start_by("netns", keep=True) as runtime:
        argv = ["/opt/tether/bin/python3", "-c", REPLACE]
        serving = asyncio.create_task(runtime.exec(argv))
        await runtime.exec(["sh", "-c", "until [ -e /tmp/replaced ]; do :; done"])
        async with EventStreamRuntime.attach(runtime.name, transport="auto", takeover=True) as next:
            assert next.connection.startswith("netns: ")
            assert "unix does not work: what answers is no runtime client" in next.connection
            await works(next)
            await next.close(keep=False)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_another_sandbox_s_client_in_its_place(start_by: StartBy) -> None:
    async with start_by("unix", keep=True) as one, start_by("unix") as other:
        own, others = (sandbox_folder(x.name) / "socket" for x in (one, other))
        await one.close()
        own.rename(own.with_name("the container's"))
        own.mkdir()
        (own / "client.sock").hardlink_to(others / "client.sock")
        with pytest.raises(Unauthorized, match="not this sandbox's client"):
            await EventStreamRuntime.attach(one.name).start()
        async with EventStreamRuntime.attach(one.name, transport="exec") as again:
            await works(again)
            await again.close(keep=False)
