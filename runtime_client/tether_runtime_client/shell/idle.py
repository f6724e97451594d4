"""Keeps an idle shell from timing out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

_LIMIT = re.compile(r"[0-9]{1,6}")  # seconds; more is not worth a timer


class IdleKeeper:
    """TMOUT ends an interactive shell that reads no line for so many seconds: so it gets some.

    The variable itself is left alone, since it also limits `read` and may be read-only. `begin`
    at a command's end, `end` at the next one's start; both are safe twice.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._pause = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: str) -> None:
        """`limit` is the value of TMOUT, whatever it may be."""
        self.end()
        if _LIMIT.fullmatch(limit) and int(limit) > 0:
            self._pause = int(limit) / 2
            self._timer = self._loop.call_later(self._pause, self._beat)

    def end(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._send(b"\n")
        self._timer = self._loop.call_later(self._pause, self._beat)
