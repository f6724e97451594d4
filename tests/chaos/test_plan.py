"""Plans are made from seeds alone, and a fault that was not seen to strike is a failure."""

from __future__ import annotations

import pytest

from .faults import KINDS, Cut, DidNotStrike, seen
from .plan import Plan
from .proxy import Proxy


@pytest.mark.parametrize("place", ["local", "docker"])
def test_the_same_seed_is_the_same_plan(place: str) -> None:
    plans = [Plan.make(seed, place) for seed in range(50)]
    assert plans == [Plan.make(seed, place) for seed in range(50)]
    assert len({str(plan) for plan in plans}) == 50


def test_every_kind_of_fault_and_of_work_has_its_seeds() -> None:
    plans = [Plan.make(seed, place) for seed in range(250) for place in ("local", "docker")]
    faults = {type(fault) for plan in plans for fault in plan.faults}
    steps = {step.kind for plan in plans for step in plan.steps}
    assert faults == set(KINDS)
    assert len(steps) == 8


def test_what_was_not_seen_did_not_happen() -> None:
    assert seen(3, "three") == "three"
    with pytest.raises(DidNotStrike):
        seen(0, "nothing")


async def test_a_cut_with_nothing_to_cut() -> None:
    class Idle:
        proxy = Proxy(lambda: None)  # type: ignore[arg-type,return-value]

    with pytest.raises(DidNotStrike, match="0 connections"):
        await Cut(1).strike(Idle())  # type: ignore[arg-type]
