"""Work that takes a while, beside the loop where that can be had."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Do it in a thread, or here where a sandbox full of processes has no room for one.

    The thread is its own and ends with the work: a pool's would stay, and take the room that the
    work has just made. Cancelled, the work goes on to its end.
    """
    done: Future[T] = Future()
    try:
        threading.Thread(target=_do, args=(work, done), name="aside", daemon=True).start()
    except RuntimeError:  # the limit of processes, which threads count for
        _do(work, done)
    return await asyncio.wrap_future(done)


def _do(work: Callable[[], T], done: Future[T]) -> None:
    done.set_running_or_notify_cancel()
    try:
        done.set_result(work())
    except BaseException as problem:
        done.set_exception(problem)
