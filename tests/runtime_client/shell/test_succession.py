"""One shell follows another: starting the next, at most one at a time."""

from __future__ import annotations

import asyncio

import pytest

from tether_runtime_client.shell.succession import NextShell


async def test_whoever_asks_meanwhile_waits_for_the_same_start() -> None:
    started, go_on = [], asyncio.Event()

    async def start() -> None:
        started.append(1)
        await go_on.wait()

    following = NextShell(start)
    waits = [asyncio.create_task(following.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*waits)
    assert started == [1]
    await following.wait()
    assert started == [1, 1]


async def test_its_error_is_told_to_whoever_waits() -> None:
    async def start() -> None:
        raise OSError("no room")

    following = NextShell(start)
    with pytest.raises(OSError, match="no room"):
        await following.wait()


async def test_stopped_it_is_over_for_whoever_waits() -> None:
    following = NextShell(asyncio.Event().wait)
    waiting = asyncio.create_task(following.wait())
    await asyncio.sleep(0)
    await following.stop()
    await waiting
    await following.stop()


async def test_a_wait_that_is_cancelled_stops_nothing() -> None:
    go_on = asyncio.Event()
    following = NextShell(go_on.wait)
    waiting = asyncio.create_task(following.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not following.begin().done()
    go_on.set()
    await following.wait()
