"""Iterating over what a coroutine makes, from a thread without a loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TypeVar, cast

from tether_runtime_client.protocol.errors import RuntimeClosed

from .loop_thread import LoopThread

T = TypeVar("T")


def iterate(thread: LoopThread, items: AsyncIterator[T]) -> Iterator[T]:
    """Take the items one by one; what made them is closed when the iteration is left."""
    generator = cast("AsyncGenerator[T, None]", items)
    try:
        while (item := thread.call(_next, generator)) is not None:
            yield item[0]
    finally:
        _close(thread, generator)


def _close(thread: LoopThread, generator: AsyncGenerator[T, None]) -> None:
    try:
        thread.call(_aclose, generator)
    except (RuntimeClosed, RuntimeError):
        # The loop has ended, or the collector found the iteration in the loop's own thread. In
        # both cases the loop closes what it knows of by itself.
        return


async def _aclose(generator: AsyncGenerator[T, None]) -> None:
    await generator.aclose()


async def _next(generator: AsyncGenerator[T, None]) -> tuple[T] | None:
    try:
        return (await anext(generator),)
    except StopAsyncIteration:
        return None
