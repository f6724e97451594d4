"""When a caller is told of a running command: whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..shell import RunningCommand


class Report:
    """Waits once for a command's end, its wait for input, or one of two timeouts.

    `last_output` gives the loop's time of the newest output. A second `wait` is an error.
    """

    def __init__(self, running: RunningCommand, last_output: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = running
        self._last_output = last_output
        self._woken: asyncio.Future[None] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self.timed_out = False

    async def wait(self, timeout_s: float | None, no_output_timeout_s: float | None) -> None:
        """Return when there is something to report; cancelling it changes nothing."""
        futures = (self._running.done, self._running.waiting)
        for future in futures:
            future.add_done_callback(self._wake)
        if timeout_s is not None:
            self._timers.append(self._loop.call_later(timeout_s, self._time_out))
        if no_output_timeout_s is not None:
            self._watch_silence(no_output_timeout_s)
        try:
            await self._woken
        finally:
            for timer in self._timers:
                timer.cancel()
            for future in futures:
                future.remove_done_callback(self._wake)

    def _wake(self, _: object = None) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    def _time_out(self) -> None:
        self.timed_out = True
        self._wake()

    def _watch_silence(self, limit: float) -> None:
        """Looks again only when the present silence would have lasted long enough."""
        left = self._last_output() + limit - self._loop.time()
        if left <= 0:
            self._time_out()
        else:
            self._timers.append(self._loop.call_later(left, self._watch_silence, limit))
