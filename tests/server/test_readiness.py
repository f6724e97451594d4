"""How long a start may take, cold or warm, and what is told of it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from tether_server import (
    EventStreamRuntime,
    SandboxStarted,
    StartFailed,
    StartProgress,
    StartTimeout,
)
from tether_server.history import History
from tether_server.record import list_records, load_record, sandbox_folder

from .conftest import MakeRuntime


@pytest.fixture(autouse=True)
async def nothing_left(state_dir: object) -> AsyncIterator[None]:
    """A test that fails leaves its kept sandboxes behind."""
    yield
    for record in list_records():
        async with EventStreamRuntime.attach(record.name, takeover=True) as left:
            await left.close(keep=False)


def progress(runtime: EventStreamRuntime) -> list[StartProgress]:
    return [event for event in runtime.events.since(0) if isinstance(event, StartProgress)]


async def test_the_steps_of_a_start_are_told_and_stored(make_runtime: MakeRuntime) -> None:
    said: list[str] = []
    async with make_runtime(keep=True, progress=said.append) as first:
        steps = progress(first)
        assert [step.message for step in steps] == said
        assert {step.start for step in steps} == {"cold"}
        assert "waiting for the runtime client to come up" in said
    said.clear()
    async with EventStreamRuntime.attach(first.name, progress=said.append) as second:
        found = [step.message for step in progress(second) if step.start == "warm"]
        assert found == said
        assert said[0] == f"looking for sandbox {first.name}"
        [began, again] = [e for e in second.events.since(0) if isinstance(e, SandboxStarted)]
        assert (began.attached, again.attached) == (False, True)
        await second.close(keep=False)


async def test_a_cold_start_that_takes_too_long(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(start_timeout_s=0.001)
    with pytest.raises(StartTimeout, match=r"no answer within 0\.001 s.*cold start") as caught:
        await runtime.start()
    assert isinstance(caught.value, StartFailed)
    assert caught.value.data["start"] == "cold"
    assert caught.value.data["limit_s"] == 0.001
    assert caught.value.data["progress"] == "waiting for the runtime client to come up"
    left = History(sandbox_folder(runtime.name) / "history.sqlite3")  # for who looks into it later
    messages = [event.message for event in left.since(0) if isinstance(event, StartProgress)]
    left.close()
    assert messages[-1] == "waiting for the runtime client to come up"


async def test_a_warm_start_that_takes_too_long() -> None:
    async with EventStreamRuntime(backend="local", keep=True) as first:
        pid = int(load_record(first.name).handle["pid"])
        [client] = children(pid)
    os.kill(client, signal.SIGSTOP)
    try:
        with pytest.raises(StartTimeout, match="limit of a warm start") as caught:
            await EventStreamRuntime.attach(first.name, start_timeout_s=0.3).start()
        assert caught.value.data["start"] == "warm"
        assert caught.value.data["progress"] == "looking for a way to the runtime client"
    finally:
        os.kill(client, signal.SIGCONT)
    async with EventStreamRuntime.attach(first.name) as second:
        await second.close(keep=False)


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]
