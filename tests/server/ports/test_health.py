"""When failures and recoveries are told, and how often."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tether_runtime_client.protocol.errors import PortRefused, TetherError
from tether_server import EventStreamRuntime, PortTrouble
from tether_server.ports import health
from tether_server.ports.health import Health

from .services import closed, connected, eventually


class Told:
    """A health, and what it has told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.health = Health(self.on_trouble, lambda: self.words.append("well"))

    def on_trouble(self, problem: TetherError) -> None:
        self.words.append(problem.message)

    def fail(self, reason: str) -> None:
        self.health.failed(PortRefused(reason))


async def test_once_until_one_succeeds() -> None:
    told = Told()
    told.health.succeeded()
    told.fail("one")
    told.fail("two")
    told.health.succeeded()
    told.health.succeeded()
    assert told.words == ["one", "well"]


async def test_what_comes_too_early_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TELL_EVERY_S", 0.2)
    told = Told()
    told.fail("one")
    told.health.succeeded()
    told.fail("two")
    told.health.succeeded()
    told.fail("three")
    assert told.words == ["one", "well"]
    await eventually(lambda: told.words == ["one", "well", "two"])
    told.health.succeeded()
    assert told.words[3:] == ["well"]


async def test_what_is_over_when_it_is_told_is_told_with_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "TELL_EVERY_S", 0.05)
    told = Told()
    told.fail("one")
    told.health.succeeded()
    told.fail("two")
    told.health.succeeded()
    await eventually(lambda: told.words == ["one", "well", "two", "well"])
    told.fail("three")
    told.health.close()
    told.health.close()
    await asyncio.sleep(0.1)
    assert told.words == ["one", "well", "two", "well"]


async def test_a_service_that_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TELL_EVERY_S", 0.1)
    async with EventStreamRuntime(backend="local") as runtime:
        await comes_and_goes(runtime)


async def comes_and_goes(runtime: EventStreamRuntime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        inside = listening.getsockname()[1]
    forward = await runtime.forward(inside)
    recovered = []
    forward.on_recovered(recovered.append)
    await refused(forward.address)
    with socket.create_server(("127.0.0.1", inside)) as listening:
        _, writer = await connected(forward.address)
        await eventually(lambda: recovered == [forward])
        # It has succeeded although neither end has ended it well.
        listening.accept()[0].close()
        writer.transport.abort()
    await refused(forward.address)
    await eventually(lambda: len(troubles(runtime)) == 2)
    assert [event.failed for event in troubles(runtime)] == [1, 2]


def troubles(runtime: EventStreamRuntime) -> list[PortTrouble]:
    return [e for e in runtime.events.since(0) if isinstance(e, PortTrouble)]


async def refused(address: tuple[str, int] | str) -> None:
    reader, writer = await connected(address)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 30)
    await closed(writer)
