"""Work beside the loop, in threads that end with it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tether_runtime_client.aside import aside

WAIT_S = 10


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aside"]


async def test_its_result_and_its_error_come_back() -> None:
    assert await aside(lambda: threading.current_thread().name) == "aside"
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)


async def test_the_loop_goes_on_meanwhile_and_no_thread_stays() -> None:
    turn = threading.Event()
    work = asyncio.ensure_future(aside(lambda: turn.wait(WAIT_S)))
    await asyncio.sleep(0)
    threads = _threads()
    turn.set()
    assert await work
    for thread in threads:
        await asyncio.to_thread(thread.join, WAIT_S)
    assert len(threads) == 1
    assert _threads() == []


async def test_cancelled_it_goes_on_to_its_end() -> None:
    turn, ended = threading.Event(), threading.Event()

    def work() -> None:
        turn.wait(WAIT_S)
        ended.set()

    task = asyncio.ensure_future(aside(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    turn.set()
    assert await asyncio.to_thread(ended.wait, WAIT_S)
