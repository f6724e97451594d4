"""Looks at a command while it runs and is quiet, ever more seldom. Costs nothing otherwise."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

FIRST_LOOK_S = 0.02  # after the last output
LONGEST_S = 0.2
_GROWTH = 1.6
_COST = 20  # a look is followed by so many times its work without one
_REST = 4  # times as long as a look took nobody looks: all sessions share a fifth of the loop
_LONGEST_REST_S = 0.1  # also after a look amid which the machine stood still


class _Turns:
    """Lets one after another look. A look takes about a millisecond, and fifty sessions whose
    commands wait for the processor would take all of it by looking whether they do.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._rested = 0.0

    def ask(self, look: Callable[[], None]) -> None:
        """Call `look` now if it may be, else when its turn comes."""
        self._waiting.append(look)
        if self._timer is None:
            self._next()

    def _next(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._waiting and began >= self._rested:
            self._waiting.popleft()()
            ended = loop.time()
            rest = min(_REST * (ended - began), _LONGEST_REST_S)
            self._rested, began = ended + rest, ended
        if self._waiting:
            self._timer = loop.call_at(self._rested, self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


class QuietWatch:
    """Calls `look` while a command runs and has been quiet for some time.

    `begin` at a command's start, `active` whenever it gets or gives bytes, `end` at its end.
    There is at most one timer, and it is left to run out, so a short command pays nothing.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._turns = _turns.setdefault(self._loop, _Turns())
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._since = 0.0
        self._pause = FIRST_LOOK_S

    def begin(self) -> None:
        """A command starts."""
        self._running = True
        self.active()
        self._arm(FIRST_LOOK_S)

    def active(self) -> None:
        """Something happened: look again soon after the next quiet begins."""
        self._since = self._loop.time()
        if self._pause != FIRST_LOOK_S:
            self._pause = FIRST_LOOK_S
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._arm(FIRST_LOOK_S)

    def soon(self) -> None:
        """Look again after the shortest pause, and not more seldom than that for now."""
        self._pause = FIRST_LOOK_S

    def end(self) -> None:
        """The command ended. Twice is safe."""
        self._running = False

    def close(self) -> None:
        """Forget the timer. Twice is safe."""
        self.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def quiet_s(self) -> float:
        """Seconds since something happened."""
        return self._loop.time() - self._since

    def _arm(self, delay: float) -> None:
        if self._timer is None and not self._asked:
            self._timer = self._loop.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._running:
            self._asked = True
            self._turns.ask(self._take_turn)

    def _take_turn(self) -> None:
        self._asked = False
        if not self._running:
            return
        early = FIRST_LOOK_S - self.quiet_s
        if early > 0.001:
            self._arm(early)
            return
        self._pause = min(self._pause * _GROWTH, LONGEST_S)
        began = time.thread_time()
        self._look()
        if self._running:
            self._arm(max(self._pause, (time.thread_time() - began) * _COST))
