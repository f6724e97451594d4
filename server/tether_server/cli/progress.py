"""What a person waits for, on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import click

from .text import clipped, size, visible

if TYPE_CHECKING:
    from rich.status import Status

UPDATE_EVERY_S = 0.1
PLAIN_AFTER_S = 1.0
"""Where lines stay, only what takes this long is worth one."""


class ProgressDisplay:
    """Shows short sentences; cleared away by `done` and at the end of the block.

    `say` may be called from any thread. Nothing is shown with `quiet`.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._status: Status | None = None
        self._timer: threading.Timer | None = None
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
        if self._live:
            self._update(message)
        else:
            self._say_later(message)

    def count(self, done: int, total: int | None) -> None:
        """Show how many bytes have crossed; on a terminal only."""
        now = time.monotonic()
        if not self._quiet and self._live and now >= self._next_update:
            self._next_update = now + UPDATE_EVERY_S
            of = f" of {size(total)}" if total is not None else ""
            self._update(f"{self._last}: {size(done)}{of}")

    def done(self) -> None:
        """Nothing is waited for, nor shown, any more. Twice is safe."""
        self._quiet = True
        self._forget()
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def _say_later(self, message: str) -> None:
        self._forget()
        self._timer = threading.Timer(PLAIN_AFTER_S, _say, [message])
        self._timer.daemon = True
        self._timer.start()

    def _forget(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _update(self, message: str) -> None:
        from rich.text import Text

        if self._status is None:
            self._status = _live_line()
            self._status.start()
        width = self._status.console.width - 4
        self._status.update(Text(clipped(message, width)))


def _say(message: str) -> None:
    click.echo(f"tether: {message}", err=True)


def _live_line() -> Status:
    from rich.console import Console

    return Console(stderr=True).status("")
