"""Calls of the engine that nobody waits for any more: what they use and make has an owner."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from tether_server import EventStreamRuntime
from tether_server.backends.in_thread import in_thread, long_in_thread


class Call:
    """Goes on once it may."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> str:
        self._loop.call_soon_threadsafe(self.begun.set)
        self.may_end.wait(10)
        return "made"


async def cancelled(task: asyncio.Task[str], call: Call) -> None:
    await call.begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)


async def test_a_cancellation_waits_for_the_call_and_undoes_it() -> None:
    call, undone = Call(), list[str]()
    task = asyncio.create_task(in_thread(call, undone.append))
    await cancelled(task, call)
    assert not task.done()
    call.may_end.set()
    await asyncio.wait([task])
    assert (task.cancelled(), undone) == (True, ["made"])


async def test_a_long_call_that_was_cancelled_closes_what_it_uses_at_its_end() -> None:
    call, closed = Call(), threading.Event()
    task = asyncio.create_task(long_in_thread(call, closed.set))
    await cancelled(task, call)
    assert (task.cancelled(), closed.is_set()) == (True, False)
    call.may_end.set()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_a_call_that_nobody_cancels() -> None:
    call, undone = Call(), list[object]()
    call.may_end.set()
    assert await in_thread(call, undone.append) == "made"
    assert await long_in_thread(call, lambda: undone.append(None)) == "made"
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, undone.append)
    assert undone == []


@pytest.mark.engine
async def test_a_start_that_is_cancelled_leaves_nothing_open(
    busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the engine starts the container, whose streams are attached already."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    start: Callable[[Container], None] = Container.start

    def starting(container: Container) -> None:
        loop.call_soon_threadsafe(begun.set)
        start(container)

    monkeypatch.setattr(Container, "start", starting)
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        runtime = EventStreamRuntime(busybox)
        task = asyncio.create_task(runtime.start())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        await runtime.close()
        del task
        gc.collect()
    assert [str(each.message) for each in told] == []
