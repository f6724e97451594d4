"""Which action ran when a process was started, as far as the clocks can tell."""

from __future__ import annotations

import time

import pytest

from tether_runtime_client.handlers.action_times import ActionTime, ActionTimes

TICK_S = 0.01


@pytest.fixture
def asleep() -> float:
    """What the clock that counts sleep is ahead of the other."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize(
    ("started", "action_id"),
    [
        (9.0, None),  # before all
        (10.5, "one"),  # while it ran
        (11.5, "one"),  # after it: of something that it left
        (11.995, "two"),  # the tick in which the next began
        (12.5, "two"),
        (13.005, None),  # a tick in which one ended and another began
        (13.5, "three"),
        (99.0, "three"),  # it still runs
    ],
)
def test_the_action_of_a_time(asleep: float, started: float, action_id: str | None) -> None:
    times = ActionTimes()
    times.add(ActionTime("one", 10.0, 11.0))
    times.add(ActionTime("two", 12.0, 13.01))
    times.add(ActionTime("three", 13.012))
    assert times.at(started + asleep, TICK_S) == action_id


def test_only_the_newest_are_known(asleep: float) -> None:
    times = ActionTimes()
    for number in range(1000):
        times.add(ActionTime(str(number), number, number + 0.5))
    assert times.at(999.2 + asleep, TICK_S) == "999"
    assert times.at(10.2 + asleep, TICK_S) is None
