"""The connections of one transfer, one after the other, and the thread that works on them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tether_runtime_client.protocol.bulk_line import in_thread


def nothing() -> None:
    raise AssertionError("nobody was cancelled")


async def test_work_in_a_thread_returns_or_raises() -> None:
    here = threading.get_ident()
    assert await in_thread(threading.get_ident, nothing) != here
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, nothing)


async def test_cancelling_waits_for_the_thread() -> None:
    stop, begun = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        begun.set()
        ended.append(stop.wait(20))
        raise OSError("the cleaning failed, and nobody is there to hear it")

    def stop_soon() -> None:
        asyncio.get_running_loop().call_later(0.1, stop.set)

    task = asyncio.create_task(in_thread(work, stop_soon))
    await asyncio.to_thread(begun.wait, 20)
    for _ in range(3):  # however often
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
