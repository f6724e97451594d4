"""What handlers need around them, without a connection."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tether_runtime_client.dispatcher import Context
from tether_runtime_client.environment import Environment
from tether_runtime_client.handlers.exec import Execs
from tether_runtime_client.protocol.bulk import (
    BulkFrame,
    BulkStream,
    OpenFrame,
    ReceivedFrame,
)
from tether_runtime_client.protocol.channel import client_channel, server_channel
from tether_runtime_client.protocol.events import Event, TransferReady
from tether_runtime_client.protocol.frames import encode_numbered
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.observations import Observation
from tether_runtime_client.settings import ClientSettings
from tether_runtime_client.tickets import Tickets

Pair = tuple[BulkStream, BulkStream]


def environment_of(settings: ClientSettings) -> Environment:
    return Environment(os.environ, settings.state / "environment.json")


def execs_of(settings: ClientSettings) -> Execs:
    return Execs(settings, environment_of(settings))


class Desk:
    """Records what a handler emits, and opens the bulk connections it asks for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tickets = Tickets()
        self._asked: asyncio.Queue[TransferReady] = asyncio.Queue()
        self._emitted = asyncio.Event()

    def context(self, action_id: str = "a1") -> Context:
        return Context(action_id, self._emit)

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self._emitted.set()
        if isinstance(event, TransferReady):
            self._asked.put_nowait(event)

    async def until(self, happened: Callable[[], object]) -> None:
        """Return once `happened` is true after an event."""
        async with asyncio.timeout(20):
            while not happened():
                self._emitted.clear()
                await self._emitted.wait()

    async def asked(self) -> TransferReady:
        async with asyncio.timeout(20):
            return await self._asked.get()

    @asynccontextmanager
    async def answer(
        self, handling: Coroutine[Any, Any, Any]
    ) -> AsyncIterator[tuple[asyncio.Task[Any], BulkStream, TransferReady]]:
        """Start a handler and open the bulk connection it asks for, as a server does."""
        task = asyncio.create_task(handling)
        asked = asyncio.create_task(self.asked())
        await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            await task
            raise AssertionError("the handler ended without asking for a connection")
        ours, theirs = await connected_pair()
        ours.send(OpenFrame(ticket=asked.result().ticket))
        await self.tickets.present(theirs)
        try:
            yield task, ours, asked.result()
        finally:
            ours.abort("the test is over")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def assert_fits(observation: Observation) -> None:
    """It can be sent."""
    assert len(encode_numbered("e" * 16, 1, observation)) < MAX_FRAME


async def connected_pair() -> Pair:
    """A server's and a client's end of one bulk connection, over a real socket."""
    left, right = socket.socketpair()
    near, far = BulkStream(), BulkStream()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: server_channel(lambda _: far), sock=right)
    await loop.create_connection(lambda: client_channel("/bulk", near), sock=left)
    await asyncio.gather(near.opened, far.opened)
    return near, far


async def word(stream: BulkStream) -> bytes | BulkFrame | None:
    """The next message that tells more than how much has come."""
    while isinstance(message := await stream.read(), ReceivedFrame):
        continue
    return message


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, with nothing of the test's own beside what it makes."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    settings = ClientSettings(run_dir=tmp_path / "run")
    settings.state.mkdir(parents=True, mode=0o700)
    return settings


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    near, far = await connected_pair()
    yield near, far
    near.abort("the test is over")
    far.abort("the test is over")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Mounts a file system of 1 MiB at a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted: list[Path] = []

    def mount(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)
