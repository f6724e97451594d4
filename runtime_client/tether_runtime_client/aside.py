"""Work that takes a while, beside the loop where that can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Do it in a thread, or here where a sandbox full of processes has no room for one.

    It may be done twice then, and must not mind. Cancelled, it goes on to its end.
    """
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as problem:
        if "start new thread" not in str(problem):
            raise
        return work()
