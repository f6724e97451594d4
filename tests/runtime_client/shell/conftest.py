"""Real sessions with a real bash, and a check that each test leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from tether_runtime_client.shell import (
    CommandEnd,
    RunningCommand,
    ShellConfig,
    ShellSession,
    StateLost,
)

BASH = os.environ.get("TETHER_TEST_BASH", "/bin/bash")
ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
}


@dataclass
class Listener:
    """Remembers what belongs to no command."""

    output: bytearray = field(default_factory=bytearray)
    warnings: list[str] = field(default_factory=list)
    lost: list[StateLost] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def background_output(self, session: ShellSession, data: memoryview | bytes, /) -> None:
        self.output += data
        self.arrived.set()

    def warning(self, session: ShellSession, message: str, /) -> None:
        self.warnings.append(message)

    def ended(self, session: ShellSession, lost: StateLost, /) -> None:
        self.lost.append(lost)
        self.arrived.set()

    async def until_lost(self, timeout_s: float = 20.0) -> None:
        """Wait for the end of a shell."""
        async with asyncio.timeout(timeout_s):
            while not self.lost:
                self.arrived.clear()
                await self.arrived.wait()

    async def until(self, part: bytes, timeout_s: float = 20.0) -> None:
        """Wait for background output that contains this."""
        async with asyncio.timeout(timeout_s):
            while part not in self.output:
                self.arrived.clear()
                await self.arrived.wait()


class Output:
    """A sink that keeps everything and can be waited on."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._arrived = asyncio.Event()

    def write(self, data: memoryview | bytes, /) -> None:
        self.data += data
        self._arrived.set()

    async def until(self, part: bytes, timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while part not in self.data:
                self._arrived.clear()
                await self._arrived.wait()


@dataclass
class Result:
    end: CommandEnd
    output: bytes

    @property
    def code(self) -> int | None:
        return self.end.exit_code

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "backslashreplace")


@dataclass
class Started:
    command: RunningCommand
    output: Output

    async def result(self, timeout_s: float = 20.0) -> Result:
        async with asyncio.timeout(timeout_s):
            end = await asyncio.shield(self.command.done)
        return Result(end, bytes(self.output.data))

    async def waits(self, timeout_s: float = 20.0) -> str:
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self.command.waiting)


class Driver:
    """A session and the short names tests use."""

    def __init__(self, session: ShellSession, listener: Listener) -> None:
        self.session = session
        self.listener = listener

    def start(self, command: str, **options: Any) -> Started:
        output = Output()
        return Started(self.session.start_command(command, output, **options), output)

    async def run(self, command: str, timeout_s: float = 20.0, **options: Any) -> Result:
        return await self.start(command, **options).result(timeout_s)

    async def say(self, command: str, **options: Any) -> str:
        """The output of a command that must end well."""
        result = await self.run(command, **options)
        assert (result.end.reason, result.code) == ("completed", 0), result
        return result.text

    async def type(self, text: str) -> None:
        await self.session.send_input(text.encode())


class Opener(Protocol):
    async def __call__(self, **changes: Any) -> Driver: ...


@asynccontextmanager
async def opened(config: ShellConfig, name: str = "default") -> AsyncIterator[Driver]:
    listener = Listener()
    session = ShellSession(name, config, listener=listener)
    try:
        await session.start()
        yield Driver(session, listener)
    finally:
        await session.close()


@pytest.fixture
def config(tmp_path: Path) -> ShellConfig:
    """A plain configuration in a directory of the test's own."""
    home = tmp_path / "home"
    home.mkdir()
    return ShellConfig(BASH, str(home), {**ENV, "HOME": str(home)}, startup="none")


@pytest.fixture
async def shell(config: ShellConfig, no_leftovers: None) -> AsyncIterator[Driver]:
    """A started session."""
    async with opened(config) as driver:
        yield driver


@pytest.fixture
async def open_shell(config: ShellConfig, no_leftovers: None) -> AsyncIterator[Opener]:
    """Opens sessions with a changed configuration; all are closed at the end."""
    drivers: list[Driver] = []

    async def open_it(*, env: Mapping[str, str] | None = None, **changes: Any) -> Driver:
        listener = Listener()
        wanted = replace(config, env={**config.env, **(env or {})}, **changes)
        session = ShellSession(f"session-{len(drivers)}", wanted, listener=listener)
        drivers.append(Driver(session, listener))
        await session.start()
        return drivers[-1]

    yield open_it
    for driver in drivers:
        await driver.session.close()


@pytest.fixture
async def no_leftovers() -> AsyncIterator[None]:
    """Fails the test that leaves a descriptor or a process of this test process behind."""
    asyncio.get_running_loop()
    before = open_descriptors(), list(children())
    yield
    assert (open_descriptors(), list(children())) == before


def open_descriptors() -> list[str]:
    """Descriptors with what they are; the listing's own is left out."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return sorted(found)


def children() -> Iterator[int]:
    """Children of this process, the dead and unreaped ones too."""
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # a thread that ends
            text = Path(f"/proc/self/task/{task}/children").read_text()
            yield from map(int, text.split())
