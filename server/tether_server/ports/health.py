"""Whether connections of a mapping come to something, and when that is worth a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tether_runtime_client.protocol.errors import TetherError

TELL_EVERY_S = 10.0
"""The least time between two words about failures of one mapping."""


class Health:
    """Tells of the first failure after a success: at once, or as soon as `TELL_EVERY_S` have passed
    since it last did. `on_recovered` follows the next success, or at once what is told so late that
    it is over.
    """

    def __init__(
        self, on_trouble: Callable[[TetherError], object], on_recovered: Callable[[], object]
    ) -> None:
        self._on_trouble = on_trouble
        self._on_recovered = on_recovered
        self._well = True
        self._untold: asyncio.TimerHandle | None = None
        self._told = float("-inf")

    def failed(self, problem: TetherError) -> None:
        """A connection came to nothing."""
        if not self._well:
            return
        self._well = False
        if self._untold is not None:
            return
        loop = asyncio.get_running_loop()
        left = self._told + TELL_EVERY_S - loop.time()
        if left <= 0:
            self._tell(problem)
        else:
            self._untold = loop.call_later(left, self._tell, problem)

    def succeeded(self) -> None:
        """One was made."""
        if self._well:
            return
        self._well = True
        if self._untold is None:
            self._on_recovered()

    def close(self) -> None:
        """Tell nothing any more. Twice is safe."""
        if self._untold is not None:
            self._untold.cancel()

    def _tell(self, problem: TetherError) -> None:
        self._untold = None
        self._told = asyncio.get_running_loop().time()
        self._on_trouble(problem)
        if self._well:
            self._on_recovered()
