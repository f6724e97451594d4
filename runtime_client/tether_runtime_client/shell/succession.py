"""One shell follows another: the start of the next, and what is kept of the former ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from .shell import Shell

_MOST = 16


class FormerShells:
    """Shells that were replaced: their terminals stay open for what they left running."""

    def __init__(self) -> None:
        self._shells: list[Shell] = []

    def __iter__(self) -> Iterator[Shell]:
        return iter(self._shells)

    def add(self, shell: Shell) -> None:
        """Keep a shell that gets no more commands; the oldest of too many is closed."""
        shell.retire()
        self._shells.append(shell)
        if len(self._shells) > _MOST:
            self._shells.pop(0).close()

    def drop(self, shell: Shell) -> None:
        """Close one that nobody has the terminal of any more. Twice is safe."""
        if shell in self._shells:
            self._shells.remove(shell)
            shell.close()

    def close(self) -> None:
        """Close them all. Twice is safe."""
        while self._shells:
            self._shells.pop().close()


class NextShell:
    """The start of a shell, by `start`, in a task of its own: at most one at a time."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._start = start
        self._task: asyncio.Task[object] | None = None

    def begin(self) -> asyncio.Task[object]:
        """Start one, unless one is being started; returns the task."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._start())
            self._task.add_done_callback(_look_at)
        return self._task

    async def wait(self) -> None:
        """Begin, and return when it is over, also when it was stopped; raises what it raised."""
        task, current = self.begin(), asyncio.current_task()
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled() or (current is not None and current.cancelling()):
                raise

    async def stop(self) -> None:
        """End what is being started. Twice is safe."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])


def _look_at(task: asyncio.Task[object]) -> None:
    """A start that failed is tried again with the next command, which tells its error."""
    if not task.cancelled():
        task.exception()
