"""Turns at a kernel, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections import deque


class GivenUp(Exception):
    """The turn was given up before it came."""


class Lane:
    """One turn at a time. Whoever has it calls `leave`, also when another does so for it."""

    def __init__(self) -> None:
        self.taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(not turn.done() for turn in self._waiting)

    async def enter(self) -> None:
        """Return when it is one's turn. Raises `GivenUp`."""
        if not self.taken:
            self.taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # it had just come
            raise

    def leave(self) -> None:
        """The next one's turn."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken = False

    def give_up(self) -> int:
        """All that wait lose their turns; returns how many."""
        lost = [turn for turn in self._waiting if not turn.done()]
        self._waiting.clear()
        for turn in lost:
            turn.set_exception(GivenUp())
        return len(lost)
