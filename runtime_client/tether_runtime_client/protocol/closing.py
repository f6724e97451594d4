"""The end of a connection whose peer does not play its part in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

CLOSE_TIMEOUT_S = 10.0
"""How long a peer may take to close, once it has all that was sent; six times that while not."""

PATIENCE = 6


class Closing:
    """Gives up on a peer that does not close its end, or takes nothing more."""

    def __init__(self, transport: asyncio.Transport, give_up: Callable[[str], None]) -> None:
        self._transport = transport
        self._give_up = give_up
        self._waiting = transport.get_write_buffer_size()
        self._patience = PATIENCE
        self._arm()

    def cancel(self) -> None:
        """The connection is closed."""
        self._timer.cancel()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CLOSE_TIMEOUT_S, self._look)

    def _look(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        self._patience = self._patience - 1 if waiting == self._waiting else PATIENCE
        if waiting == 0 or self._patience == 0:
            self._give_up("the peer did not close its end")
            return
        self._waiting = waiting
        self._arm()
