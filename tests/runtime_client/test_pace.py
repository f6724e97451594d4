"""When sources of output are held, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from tether_runtime_client import pace
from tether_runtime_client.pace import Pace


class Source:
    """Says whether it is held, and how often it was told to be."""

    def __init__(self) -> None:
        self.held = False
        self.holds = 0

    def hold_output(self) -> None:
        self.held = True
        self.holds += 1

    def release_output(self) -> None:
        self.held = False


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> tuple[Pace, Source]:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.2)
    made, source = Pace(), Source()
    made.add(source)
    return made, source


async def test_a_source_is_held_until_the_controller_has_caught_up(
    paced: tuple[Pace, Source],
) -> None:
    made, source = paced
    made.fall_behind()
    made.fall_behind()
    assert (source.held, source.holds) == (True, 1)
    made.catch_up()
    made.catch_up()
    assert not source.held


async def test_who_takes_nothing_is_not_waited_for(paced: tuple[Pace, Source]) -> None:
    made, source = paced
    made.fall_behind()
    await asyncio.sleep(0.5)
    assert not source.held
    made.fall_behind()
    made.progress()
    assert not source.held, "it is behind as before: it would be waited for again and again"
    made.catch_up()
    made.fall_behind()
    assert source.held
    made.catch_up()


async def test_who_takes_something_is(paced: tuple[Pace, Source]) -> None:
    made, source = paced
    made.fall_behind()
    for _ in range(6):
        await asyncio.sleep(0.1)
        made.progress()
    assert source.held
    made.catch_up()
