from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tether_runtime_client.shell.watch import FIRST_LOOK_S, LONGEST_S, QuietWatch


class Looks:
    """Counts looks with their times; `ended` after so many."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.watch = QuietWatch(self.look)

    def look(self) -> None:
        self.times.append(asyncio.get_running_loop().time())


@pytest.fixture
async def looks() -> AsyncIterator[Looks]:
    looks = Looks()
    yield looks
    looks.watch.close()


async def test_looks_come_ever_more_seldom(looks: Looks) -> None:
    began = asyncio.get_running_loop().time()
    looks.watch.begin()
    await asyncio.sleep(1.5)
    pauses = [b - a for a, b in zip([began, *looks.times], looks.times, strict=False)]
    assert pauses[0] >= FIRST_LOOK_S * 0.9
    assert max(pauses) < LONGEST_S + 0.2
    assert 5 <= len(pauses) <= 13
    assert pauses[-1] > pauses[0] * 3


async def test_no_looks_for_a_short_command(looks: Looks) -> None:
    looks.watch.begin()
    looks.watch.end()
    await asyncio.sleep(FIRST_LOOK_S * 4)
    assert looks.times == []


async def test_no_looks_while_output_comes(looks: Looks) -> None:
    looks.watch.begin()
    for _ in range(40):
        looks.watch.active()
        await asyncio.sleep(FIRST_LOOK_S / 8)
    early = len(looks.times)
    await asyncio.sleep(FIRST_LOOK_S * 4)
    assert early <= 1  # a slow machine may be quiet for once
    assert len(looks.times) > early


async def test_activity_makes_looks_frequent_again(looks: Looks) -> None:
    looks.watch.begin()
    await asyncio.sleep(1)
    before = len(looks.times)
    looks.watch.active()
    await asyncio.sleep(0.15)
    assert len(looks.times) - before >= 2


async def test_ending_and_beginning_again(looks: Looks) -> None:
    for _ in range(100):
        looks.watch.begin()
        looks.watch.end()
    looks.watch.begin()
    await asyncio.sleep(FIRST_LOOK_S * 3)
    looks.watch.end()
    count = len(looks.times)
    assert count >= 1
    await asyncio.sleep(LONGEST_S * 2)
    assert len(looks.times) == count


async def test_close_twice(looks: Looks) -> None:
    looks.watch.begin()
    looks.watch.close()
    looks.watch.close()
    await asyncio.sleep(FIRST_LOOK_S * 3)
    assert looks.times == []
    assert looks.watch.quiet_s > 0


async def test_many_watches_leave_most_of_the_time_to_others() -> None:
    """They take turns, and each has its turn."""
    looked: Counter[int] = Counter()

    def look(number: int) -> None:
        looked[number] += 1
        time.sleep(0.005)

    watches = [QuietWatch(functools.partial(look, number)) for number in range(20)]
    for watch in watches:
        watch.begin()
    began = time.monotonic()
    await asyncio.sleep(1)
    lasted = time.monotonic() - began
    for watch in watches:
        watch.close()
    assert looked.keys() == set(range(20))
    assert looked.total() * 0.005 < lasted / 3
