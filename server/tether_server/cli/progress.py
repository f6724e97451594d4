"""What a person waits for: a live line on standard error, where that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from .text import clipped, size, visible

if TYPE_CHECKING:
    from rich.status import Status

UPDATE_EVERY_S = 0.1


class ProgressDisplay:
    """Shows short sentences; cleared away by `done` and at the end of the block.

    `say` may be called from any thread. Nothing is shown with `quiet`, nor off a terminal.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet or sys.stderr is None or not sys.stderr.isatty()
        self._status: Status | None = None
        self._last = ""
        self._next_update = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def say(self, message: str) -> None:
        """Show what is going on now."""
        message = visible(message)
        if self._quiet or message == self._last:
            return
        self._last = message
        self._update(message)

    def count(self, done: int, total: int | None) -> None:
        """Show how many bytes have crossed."""
        now = time.monotonic()
        if not self._quiet and now >= self._next_update:
            self._next_update = now + UPDATE_EVERY_S
            of = f" of {size(total)}" if total is not None else ""
            self._update(f"{self._last}: {size(done)}{of}")

    def done(self) -> None:
        """Nothing is waited for, nor shown, any more. Twice is safe."""
        self._quiet = True
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def _update(self, message: str) -> None:
        from rich.text import Text

        if self._status is None:
            self._status = _live_line()
            self._status.start()
        width = self._status.console.width - 4
        self._status.update(Text(clipped(message, width)))


def _live_line() -> Status:
    from rich.console import Console

    return Console(stderr=True).status("")
