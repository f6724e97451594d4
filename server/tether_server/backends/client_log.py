"""What a client's process writes, watched for its word that it is ready. All of it is hostile."""

from __future__ import annotations

import asyncio
from collections import deque

from .entry import WAITING_LINE

READY_LINE = b"tether-runtime-client: ready"
KEPT_LINES = 50
LINE_LIMIT = 2_000


class ClientLog:
    """Keeps the last lines of a byte stream.

    `listening` is set by the ready line, `waiting` when the supervisor waits for its secret; both
    by the end. `has_waited` and `was_ready` say that those lines have come, `ended` that no more
    will.
    """

    def __init__(self, ready: bytes = READY_LINE) -> None:
        self._ready = ready
        self._lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._partial = b""
        self.listening = asyncio.Event()
        self.waiting = asyncio.Event()
        self.has_waited = False
        self.was_ready = False
        self.ended = False

    def begin(self) -> None:
        """A stream begins, perhaps not the first."""
        self.ended = False
        self.waiting.clear()
        self.listening.clear()

    def tell_ready(self) -> None:
        """The ready line has come, here or where else it was looked for."""
        self.was_ready = True
        self.listening.set()

    def tell_waiting(self) -> None:
        """The same of the supervisor's word that it waits."""
        self.has_waited = True
        self.waiting.set()

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = rest[:LINE_LIMIT]
        for line in lines:
            self._lines.append(line[:LINE_LIMIT])
            if line.startswith(self._ready):
                self.tell_ready()
            elif line.startswith(WAITING_LINE):
                self.tell_waiting()

    def end(self) -> None:
        """The stream has ended: nothing more to wait for."""
        self.ended = True
        self.listening.set()
        self.waiting.set()

    def tail(self) -> str:
        """The last lines, as text without control characters."""
        lines = [*self._lines, self._partial] if self._partial else list(self._lines)
        text = b"\n".join(lines).decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable() or c in "\n\t")
