"""A container that is restarted is found again, though its process, port and address are others."""

from __future__ import annotations

import asyncio

import docker
import pytest

from tether_server import CmdRunAction, SandboxInterrupted
from tether_server.record import load_record

from .conftest import StartBy

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("name", ["unix", "netns", "tcp", "exec", "dial", "ssh"])
async def test_it_is_found_again(start_by: StartBy, name: str) -> None:
    client = docker.from_env(version="auto")
    try:
        async with start_by(name, keep=True) as runtime:
            before = runtime.connection
            container = client.containers.get(load_record(runtime.name).handle["container"])
            await asyncio.to_thread(container.restart, timeout=5)
            again = runtime.run(CmdRunAction(command="echo found"))
            assert (await asyncio.wait_for(again, 60)).content == "found\n"
            assert before.startswith(f"{name}: ")
            told = [e for e in runtime.events.since(0) if isinstance(e, SandboxInterrupted)]
            assert [event.cause for event in told] == ["stopped"]
            await runtime.close(keep=False)
    finally:
        client.close()
