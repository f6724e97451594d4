"""When what came is committed to the history, and the client told that it was."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable

from tether_runtime_client.protocol.errors import Fenced

from .event_stream import EventStream
from .history import History
from .link import Link

log = logging.getLogger(__name__)

SAVE_AFTER_S = 0.05
"""Events are committed and acknowledged together, this long after the first of them."""

SAVE_AFTER_BYTES = 1024 * 1024
"""Or once they are this much."""

SAVE_RETRY_S = 1.0
HOLD_BYTES = 8 * SAVE_AFTER_BYTES
"""The most that waits in memory while the history cannot be written."""


class Saver:
    """Commits what a history has taken, and acknowledges what was committed.

    What cannot be written was not acknowledged, so nothing is lost: the client keeps it. It is
    heard no more then, once memory would have to hold too much of it here, until there is space.
    `on_fenced` is told when another server has taken the history.
    """

    def __init__(
        self, history: History, events: EventStream, on_fenced: Callable[[Fenced], None]
    ) -> None:
        self._history = history
        self._events = events
        self._on_fenced = on_fenced
        self._link: Link | None = None
        self._unacknowledged: set[str] = set()
        self._unsaved = 0
        self._next: asyncio.Handle | None = None
        self._failing = False
        self._writable = asyncio.Event()
        self._writable.set()

    def bind(self, link: Link) -> None:
        """Who is told from now on."""
        self._link = link

    def owe(self, epochs: Iterable[str]) -> None:
        """Tell the client how far these are stored, at the next commit."""
        self._unacknowledged.update(epochs)

    def stored(self, size: int) -> None:
        """Something was stored, of so many bytes that came: readers see it, and it is committed
        soon.
        """
        self._unsaved += size
        self._events.wake()
        if self._unsaved > HOLD_BYTES:
            self._hold_off() if self._failing else self.save()
        elif self._unsaved >= SAVE_AFTER_BYTES and not self._failing:
            # Behind whoever got an answer by now: while this is written, the next action runs.
            self._cancel()
            self._next = asyncio.get_running_loop().call_soon(self.save)
        elif self._next is None:
            self._next = asyncio.get_running_loop().call_later(SAVE_AFTER_S, self.save)

    def save(self) -> None:
        """Commit now, and acknowledge what was committed."""
        self._cancel()
        try:
            self._history.commit()
        except Fenced as fenced:
            self._unacknowledged.clear()  # it was not written here, and may not be elsewhere
            self._on_fenced(fenced)
        except (sqlite3.Error, OSError) as problem:
            log.error("the history cannot be written: %s", problem)
            self._failing = True
            self._next = asyncio.get_running_loop().call_later(SAVE_RETRY_S, self.save)
        else:
            self._saved()

    async def writable(self) -> None:
        """Return when what comes can be taken."""
        await self._writable.wait()

    def close(self) -> None:
        """Commit, and do not try again. Twice is safe."""
        self.save()
        self._cancel()

    def _saved(self) -> None:
        self._unsaved = 0
        if self._failing:
            self._failing = False
            self._writable.set()
            self._events.wake()
        if self._link is not None and self._link.connected:
            for epoch in self._unacknowledged:
                self._link.acknowledge(epoch, self._history.progress[epoch])
            self._unacknowledged.clear()

    def _hold_off(self) -> None:
        if self._link is not None and self._writable.is_set():
            self._writable.clear()
            self._link.cut("the history cannot be written")

    def _cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
