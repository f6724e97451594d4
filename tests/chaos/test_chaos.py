"""Nothing is lost, and nothing is done twice, whatever goes wrong: seeded runs of everything.

A few runs are part of every test run; `make chaos` makes 500. A run that fails prints its seed and
its plan, and what repeats it alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .check import check, check_leftovers
from .plan import Plan
from .run import carried_out

LIMIT_S = {"local": 60.0, "docker": 100.0}
FEW = {"local": 16, "docker": 3}
ONE_IN = 16
"""Of the many, how many are in a container."""

SEED = int(os.environ.get("CHAOS_SEED", "1"))
RUNS = int(os.environ.get("CHAOS_RUNS", "500"))


def many() -> Iterator[object]:
    for seed in range(SEED, SEED + RUNS):
        in_container = (seed - SEED) % ONE_IN == ONE_IN - 1
        places = ["local", "docker"] if RUNS == 1 else ["docker" if in_container else "local"]
        for place in places:
            marks = [pytest.mark.engine] if place == "docker" else []
            yield pytest.param(place, seed, id=f"{place}-{seed}", marks=marks)


def few() -> Iterator[object]:
    for place, count in FEW.items():
        marks = [pytest.mark.engine] if place == "docker" else []
        for seed in range(1, 1 + count):
            yield pytest.param(place, seed, id=f"{place}-{seed}", marks=marks)


@pytest.mark.parametrize(("place", "seed"), list(few()))
async def test_a_few_runs(
    place: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await go_through(Plan.make(seed, place), tmp_path, request)


@pytest.mark.chaos
@pytest.mark.parametrize(("place", "seed"), list(many()))
async def test_many_runs(
    place: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await go_through(Plan.make(seed, place), tmp_path, request)


async def go_through(plan: Plan, folder: Path, request: pytest.FixtureRequest) -> None:
    image = request.getfixturevalue("debian") if plan.place == "docker" else None
    again = f'CHAOS_SEED={plan.seed} CHAOS_RUNS=1 make chaos ARGS="-k {plan.place}"'
    print(f"{plan}\n  again: {again}")  # noqa: T201  shown when the run fails
    async with asyncio.timeout(LIMIT_S[plan.place]), carried_out(plan, folder, image) as run:
        print("  struck:", *run.struck, sep="\n    ")  # noqa: T201
        check(run)
        check_leftovers(run)
    shutil.rmtree(folder)
