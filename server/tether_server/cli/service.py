"""What becomes of an image's own program that runs beside the client: a word when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tether_runtime_client.protocol.events import EntrypointEnded, Event

from ..runtime import EventStreamRuntime
from .failures import complain
from .text import clipped, visible

SHOWN_LINES = 10
SHOWN_WIDTH = 200


@asynccontextmanager
async def told_of_service(runtime: EventStreamRuntime, *, at_once: bool) -> AsyncIterator[None]:
    """Within this block of a started runtime its end is said on standard error.

    At once, or, where that would spoil a screen, when the block is left.
    """
    watch = _Watch(runtime)
    task = asyncio.get_running_loop().create_task(watch.follow()) if at_once else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        watch.catch_up()


class _Watch:
    def __init__(self, runtime: EventStreamRuntime) -> None:
        self._events = runtime.events
        self._seen = 0

    async def follow(self) -> None:
        async for event in self._events.subscribe():
            self._take(event)

    def catch_up(self) -> None:
        for event in self._events.since(self._seen):
            self._take(event)

    def _take(self, event: Event) -> None:
        self._seen = event.seq
        if isinstance(event, EntrypointEnded):
            complain(*in_words(event))


def in_words(event: EntrypointEnded) -> tuple[str, str]:
    """How it ended, and the last lines of its output, made harmless."""
    lines = [clipped(visible(line), SHOWN_WIDTH) for line in event.output.splitlines() if line]
    shown = "\n        ".join(lines[-SHOWN_LINES:]) or "it wrote nothing"
    return f"the image's own program has ended: {visible(event.reason)}", shown
