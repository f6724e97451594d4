"""How long to wait before something is tried again."""

from __future__ import annotations

import asyncio
import random

FIRST_RETRY_S = 0.02
LAST_RETRY_S = 2.0


class Backoff:
    """A short pause first, each one twice as long as the last, and never longer than `last_s`.

    They vary by some tenths, so that many who lost the same thing do not come back at once.
    """

    def __init__(self, last_s: float = LAST_RETRY_S) -> None:
        self._last_s = last_s
        self.reset()

    def reset(self) -> None:
        """Begin anew: what was tried has worked for a while."""
        self._pause = FIRST_RETRY_S
        self.first = True

    def next(self) -> float:
        """The next pause, in seconds; `first` is False from then on."""
        pause, self._pause, self.first = self._pause, min(2 * self._pause, self._last_s), False
        return pause * random.uniform(0.7, 1.3)

    async def wait(self) -> None:
        """Sleep for the next pause."""
        await asyncio.sleep(self.next())
