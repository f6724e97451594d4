"""How long a sandbox may take until its client answers, and what was done meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from tether_runtime_client.protocol.errors import StartFailed, StartTimeout
from tether_runtime_client.protocol.events import StartProgress

from .backends import Progress

Budget = Literal["cold", "warm"]
"""Of a sandbox that is made anew, or of one that is there."""

MESSAGE_LIMIT = 500


class Readiness:
    """One start: its time limit, and its progress, which is told to the caller and the history.

    Made on the loop that `record` has to be called on.
    """

    def __init__(
        self,
        budget: Budget,
        limit_s: float,
        progress: Progress,
        record: Callable[[StartProgress], None],
    ) -> None:
        self.budget: Budget = budget
        self.limit_s = limit_s
        self._progress = progress
        self._record = record
        self._last = ""
        self._loop = asyncio.get_running_loop()

    def tell(self, message: str) -> None:
        """Say what is waited for from now on. From any thread."""
        if message == self._last:
            return
        self._last = message
        self._progress(message)
        event = StartProgress(message=message[:MESSAGE_LIMIT], start=self.budget)
        self._loop.call_soon_threadsafe(self._record, event)

    @property
    def too_long(self) -> str:
        """What to say when the time was over."""
        return (
            f"no answer within {self.limit_s:g} s, the limit of a {self.budget} start;"
            f" the last step was: {self._last}"
        )

    def timeout(self, failed: StartFailed) -> StartTimeout:
        """The error for a start of which this is known."""
        data = {**failed.data, "start": self.budget, "limit_s": self.limit_s}
        return StartTimeout(failed.message, hint=failed.hint, progress=self._last, **data)
