"""Processes of a test, told by how long they sleep, and looked for from outside of any session."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping

from tether_server import EventStreamRuntime

_numbers = itertools.count(random.Random(os.getpid()).randrange(10_000, 1_000_000) * 1_000)
_LIST = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null"


def new_nap() -> str:
    """A command that sleeps for years, as no other one does."""
    return f"sleep {next(_numbers)}"


async def each(runtime: EventStreamRuntime, wanted: Mapping[str, str]) -> dict[str, int]:
    """How many there are of each, by the names they go by in the test."""
    lines = await _lines(runtime)
    return {name: lines.count(f"{nap} ") for name, nap in wanted.items()}


async def naps(runtime: EventStreamRuntime, nap: str) -> int:
    """How many processes sleep so."""
    return (await _lines(runtime)).count(f"{nap} ")


async def _lines(runtime: EventStreamRuntime) -> list[str]:
    return (await runtime.exec(_LIST)).stdout.decode("utf-8", "replace").split("\n")
