"""Output comes as fast as the controller takes it, for as long as it takes any.

Events reach a controller in their order. So what is read from programs faster than it is taken
stands before everybody else's answers: 64 MiB of it, a second and more. Programs wait instead, as
they do for a slow terminal. A controller that takes nothing holds up nobody for long: then output
goes to files and journal alone, as it does while there is no controller.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

PATIENCE_S = 1.0
"""How long programs wait for a controller that takes nothing at all."""


class Source(Protocol):
    """Reads the output of programs. What it calls `hold` and `release` for is all of them."""

    def hold_output(self) -> None:
        """Read no more, so that programs block once a terminal or a pipe is full."""

    def release_output(self) -> None:
        """Undo that. Twice is safe."""


class Pace:
    """Holds all sources while the controller is behind."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._behind = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, source: Source) -> None:
        """Hold this one too from now on."""
        self._sources.append(source)

    def fall_behind(self) -> None:
        """The controller has more before it than it should. Twice is once."""
        if not self._behind:
            self._behind = True
            self._wait()
            for source in self._sources:
                source.hold_output()

    def progress(self) -> None:
        """It is behind, and has taken something: it is worth waiting for."""
        if self._timer is not None:
            self._timer.cancel()
            self._wait()

    def catch_up(self) -> None:
        """It has taken everything, or is gone. Twice is safe."""
        self._behind = False
        self._release()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._release)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            for source in self._sources:
                source.release_output()
