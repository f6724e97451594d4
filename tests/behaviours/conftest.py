"""What a shell does, seen as its users see it: through a runtime, in each place it has to hold.

One runtime a place and test process, which all tests share; a session of its own for each test.
The catalogue `docs/behaviours.md` names these tests.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tether_server import (
    CmdInputAction,
    CmdInterruptAction,
    CmdOutputObservation,
    CmdPollAction,
    CmdRunAction,
    EventStreamRuntime,
    SessionResetAction,
)

from ..places import PLACES, Places

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shell:
    """One session of a runtime, with the actions a test needs as methods."""

    runtime: EventStreamRuntime
    place: str
    session: str

    async def run(
        self, command: str, *, timeout_s: float = 60, **options: Any
    ) -> CmdOutputObservation:
        """Runs a command until it ends, waits for input or has had its time."""
        action = CmdRunAction(command=command, session=self.session, timeout_s=timeout_s, **options)
        return await self.runtime.run(action)

    async def output(self, command: str, **options: Any) -> str:
        """What a command printed that has to end well."""
        seen = await self.run(command, **options)
        assert (seen.status, seen.exit_code) == ("completed", 0), seen
        return seen.content

    async def type(self, text: str | None = None, **options: Any) -> CmdOutputObservation:
        """Types a text (or `key=`) into what is running."""
        return await self.runtime.run(CmdInputAction(text=text, session=self.session, **options))

    async def poll(self, timeout_s: float = 60) -> CmdOutputObservation:
        """What is new since the last observation."""
        return await self.runtime.run(CmdPollAction(session=self.session, timeout_s=timeout_s))

    async def interrupt(self, **options: Any) -> CmdOutputObservation:
        """Sends SIGINT (or `signal=`) to what is running."""
        return await self.runtime.run(CmdInterruptAction(session=self.session, **options))

    async def reset(self) -> None:
        """Ends everything in the session; the next command has a fresh shell."""
        await self.runtime.run(SessionResetAction(session=self.session))


@pytest.fixture(scope="session")
def shared_state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the shared runtimes, which outlive any one test's."""
    return tmp_path_factory.mktemp("behaviours")


@pytest.fixture(autouse=True)
def state_dir(shared_state_dir: Path) -> Iterator[Path]:
    """In the place of each test's own state folder."""
    before = os.environ.get("TETHER_STATE_DIR")
    os.environ["TETHER_STATE_DIR"] = str(shared_state_dir)
    yield shared_state_dir
    if before is None:
        del os.environ["TETHER_STATE_DIR"]
    else:
        os.environ["TETHER_STATE_DIR"] = before


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def places(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Places]:
    """The runtimes of this process; they end with its last test."""
    async with AsyncExitStack() as stack:
        yield Places(stack, tmp_path_factory.mktemp("home"))


@pytest_asyncio.fixture(params=PLACES, loop_scope="session")
async def runtime(request: pytest.FixtureRequest, places: Places) -> EventStreamRuntime:
    """A started runtime on this machine, in a Debian container and in one with only busybox."""
    return await places.asked_for(request)


@pytest_asyncio.fixture(loop_scope="session")
async def shell(
    runtime: EventStreamRuntime, request: pytest.FixtureRequest
) -> AsyncIterator[Shell]:
    """A session nobody used before; what it started is ended after the test."""
    place: str = request.node.callspec.params["runtime"]
    shell = Shell(runtime, place, f"s{next(_numbers)}")
    yield shell
    await shell.reset()
