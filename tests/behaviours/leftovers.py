"""Processes of a test, told by how long they sleep, and looked for from outside of any session."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Mapping

from tether_server import EventStreamRuntime

_numbers = itertools.count(random.Random(os.getpid()).randrange(10_000, 1_000_000) * 1_000)
_LIST = "cat /proc/[0-9]*/cmdline 2>/dev/null"


def new_nap() -> str:
    """A command that sleeps for years, as no other one does."""
    return f"sleep {next(_numbers)}"


async def each(runtime: EventStreamRuntime, wanted: Mapping[str, str]) -> dict[str, int]:
    """How many there are of each, by the names they go by in the test."""
    running = (await runtime.exec(_LIST)).stdout
    return {name: running.count(_line(nap)) for name, nap in wanted.items()}


async def naps(runtime: EventStreamRuntime, nap: str) -> int:
    """How many processes sleep so."""
    return (await runtime.exec(_LIST)).stdout.count(_line(nap))


async def one_naps(runtime: EventStreamRuntime, nap: str) -> None:
    """Wait until there is one: a command that was left running may not have come so far."""
    async with asyncio.timeout(20):
        while await naps(runtime, nap) != 1:
            await asyncio.sleep(0.02)


def _line(nap: str) -> bytes:
    return nap.replace(" ", "\0").encode() + b"\0"
