"""Output of a session between its commands, on its way as events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..protocol.events import BackgroundOutput, Event
from ..protocol.limits import DELTA_SIZE
from ..protocol.render import render, unfinished
from .output_log import FLUSH_AFTER_S


class BackgroundLog:
    """Takes what jobs write. An event has what came within some milliseconds, as it is read.

    A character or control sequence that has only begun waits for its rest. One owner, on the loop.
    """

    def __init__(self, session: str, emit: Callable[[Event], None]) -> None:
        self._session = session
        self._emit = emit
        self._data = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; they are copied."""
        self._data += data
        if len(self._data) >= DELTA_SIZE:
            self._tell_whole()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_AFTER_S, self._tell_whole)

    def flush(self) -> None:
        """Tell what waits, halves too: something else is told next. Nothing, where nothing does."""
        self._tell(0)

    def _tell_whole(self) -> None:
        self._tell(len(unfinished(bytes(self._data))))

    def _tell(self, held: int) -> None:
        """All but the last `held` bytes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = len(self._data) - held
        if end:
            content = render(bytes(self._data[:end]))
            del self._data[:end]
            self._emit(BackgroundOutput(session=self._session, content=content))
