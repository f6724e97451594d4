"""Calls of the engine, which block: made in threads, and over when those who made them go on.

Whoever is cancelled may close the engine's connections next. A call that was still at it would
leave its own connection to nobody, and what it makes too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T], undo: Callable[[T], object] = lambda result: None) -> T:
    """What the engine answers, soon. A cancellation waits for that, and undoes it."""
    calling = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(calling)
    except asyncio.CancelledError:
        [result] = await asyncio.gather(calling, return_exceptions=True)
        if not isinstance(result, BaseException):
            await asyncio.to_thread(undo, result)
        raise


async def long_in_thread(call: Callable[[], T], close: Callable[[], object]) -> T:
    """What may take minutes. Once it is cancelled nobody waits for it, and `close` ends what it
    uses as soon as it has come to its end.
    """
    abandoned = threading.Event()

    def run() -> T:
        try:
            return call()
        finally:
            if abandoned.is_set():
                close()

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        abandoned.set()
        raise
