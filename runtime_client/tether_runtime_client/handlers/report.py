"""When a caller is told of a running command: whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..shell import RunningCommand


class Report:
    """Calls `due` once: at a command's end, its wait for input, or one of two timeouts.

    `last_output` gives the loop's time of the newest output. `due` is called by whoever makes it
    happen, in the same turn of the loop; by `start` itself when there is something to report.
    """

    def __init__(
        self, running: RunningCommand, last_output: Callable[[], float], due: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = running
        self._last_output = last_output
        self._due = due
        self._timers: list[asyncio.TimerHandle] = []
        self._over = False
        self.timed_out = False

    def start(
        self, timeout_s: float | None, no_output_timeout_s: float | None, *, told_wait: bool = False
    ) -> None:
        """Wait from now on; `told_wait`: the present wait for input is no news."""
        waits = self._running.wait_evidence is not None and not told_wait
        if self._running.done.done() or waits:
            self._fire()
            return
        self._running.watchers.append(self._fire)
        if timeout_s is not None:
            self._timers.append(self._loop.call_later(timeout_s, self._time_out))
        if no_output_timeout_s is not None:
            self._watch_silence(no_output_timeout_s)

    def cancel(self) -> bool:
        """Wait no more; nothing changes for the command. Returns whether it waited until now."""
        if self._over:
            return False
        self._over = True
        for timer in self._timers:
            timer.cancel()
        if self._fire in self._running.watchers:
            self._running.watchers.remove(self._fire)
        return True

    def _fire(self) -> None:
        if self.cancel():
            self._due()

    def _time_out(self) -> None:
        self.timed_out = True
        self._fire()

    def _watch_silence(self, limit: float) -> None:
        """Looks again only when the present silence would have lasted long enough."""
        left = self._last_output() + limit - self._loop.time()
        if left <= 0:
            self._time_out()
        else:
            self._timers.append(self._loop.call_later(left, self._watch_silence, limit))
