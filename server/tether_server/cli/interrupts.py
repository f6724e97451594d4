"""Signals to the command itself: in good order first, at once if somebody insists."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import click

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handle = Callable[[signal.Signals], None]


class Interrupts:
    """What the next signal does: what was asked for by `diverted`, then cancel, then exit.

    `farewell` is said when it cancels, unless it is empty; `last_wish` runs before the exit that
    waits for nothing.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.farewell = "cleaning up; the same again leaves at once"
        self.last_wish: Callable[[], None] | None = None
        self._task: asyncio.Task[int] | None = None
        self._diversion: Handle | None = None
        self._cancelled = False

    @contextmanager
    def diverted(self, to: Handle) -> Iterator[None]:
        """Within this block the first signal is given to `to` instead."""
        self._diversion = to
        try:
            yield
        finally:
            self._diversion = None

    def watch(self, task: asyncio.Task[int]) -> None:
        """Handle signals from now on; those that this process was told to ignore stay ignored."""
        self._task = task
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        assert self._task is not None
        self.received = number
        diversion, self._diversion = self._diversion, None
        if diversion is not None:
            diversion(number)
        elif not self._cancelled:
            self._cancelled = True
            if self.farewell:
                click.echo(f"tether: {self.farewell}", err=True)
            self._task.cancel()
        else:
            self._leave(number)

    def _leave(self, number: signal.Signals) -> None:
        if self.last_wish is not None:
            self.last_wish()
        os._exit(128 + number)


def run_async(work: Callable[[Interrupts], Coroutine[Any, Any, int]]) -> int:
    """Run `work` on a loop of its own; returns its exit code, or 128 + N when signal N ended it."""
    return asyncio.run(_watched(work))


async def _watched(work: Callable[[Interrupts], Coroutine[Any, Any, int]]) -> int:
    interrupts = Interrupts()
    task = asyncio.get_running_loop().create_task(work(interrupts))
    interrupts.watch(task)
    await asyncio.wait([task])
    if task.cancelled() and interrupts.received is not None:
        return 128 + interrupts.received
    return task.result()
