"""A runtime on this machine with a service in it, for all the tests of a module."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tether_server import EventStreamRuntime

from .services import service


@pytest.fixture(scope="module")
def shared_state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the shared runtime, which outlives any one test's."""
    return tmp_path_factory.mktemp("ports")


@pytest.fixture(autouse=True)
def state_dir(shared_state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of the test's own state folder."""
    monkeypatch.setenv("TETHER_STATE_DIR", str(shared_state_dir))
    return shared_state_dir


@pytest.fixture(scope="module")
def state_for_all(shared_state_dir: Path) -> Iterator[None]:
    """The same for what is made before any one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TETHER_STATE_DIR", str(shared_state_dir))
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(state_for_all: None) -> AsyncIterator[tuple[EventStreamRuntime, int]]:
    """The runtime, and where the service listens in it."""
    name = f"ports-{os.getpid()}"
    runtime = EventStreamRuntime(backend="local", name=name)
    async with runtime, service(runtime) as port:
        assert isinstance(port, int)
        yield runtime, port


@pytest_asyncio.fixture(loop_scope="module")
async def runtime(shared: tuple[EventStreamRuntime, int]) -> AsyncIterator[EventStreamRuntime]:
    """A sandbox on this machine; what a test maps is closed after it."""
    runtime, _ = shared
    yield runtime
    for mapping in runtime.ports:
        await mapping.close()


@pytest.fixture
def port(shared: tuple[EventStreamRuntime, int]) -> int:
    """Where the service listens inside."""
    return shared[1]
