"""What a plugin prints: the newest of it in a file that does not grow, its last lines at hand."""

from __future__ import annotations

import asyncio

from ..bounded_log import BoundedLog
from ..processes.pipes import OutputPipe

TAIL = 8 * 1024
"""Bytes that are told with a failure."""

BURST = 1024 * 1024
"""Bytes that are taken at once, then it waits: who prints without end has a slow terminal."""

PAUSE_S = 0.05


class PluginOutput:
    """The sink of one process's standard output and error, which are one pipe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = BoundedLog(path)
        self._tail = bytearray()
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self.pipe: OutputPipe | None = None

    @property
    def tail(self) -> str:
        """The last of it."""
        return bytes(self._tail).decode("utf-8", "replace")

    def write(self, data: memoryview) -> None:
        """Take a piece."""
        self._log.write(bytes(data))
        self._tail += data[-TAIL:]
        del self._tail[:-TAIL]
        self._taken += len(data)
        if self._taken >= BURST:
            self._rest()

    def hold(self) -> None:
        """Take nothing for now. Twice is safe."""
        self._held = True
        if self.pipe is not None:
            self.pipe.pause()

    def release(self) -> None:
        """Undo that. Twice is safe."""
        self._held = False
        if self._timer is None and self.pipe is not None:
            self.pipe.resume()

    def close(self) -> None:
        """The file stays. Twice is safe."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._log.close()

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        self._taken = 0
        if self._timer is None and self.pipe is not None:
            self.pipe.pause()
            self._timer = loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if not self._held and self.pipe is not None:
            self.pipe.resume()
