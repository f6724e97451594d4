"""Which action ran in a session when a process was started."""

from __future__ import annotations

import time
from collections import deque

_KEPT = 256


class ActionTimes:
    """The newest actions of a session and when they began, by the loop's clock."""

    def __init__(self) -> None:
        self._begun: deque[tuple[float, str]] = deque(maxlen=_KEPT)

    def add(self, begun: float, action_id: str) -> None:
        """An action begins."""
        self._begun.append((begun, action_id))

    def at(self, since_boot: float, unsure_s: float) -> str | None:
        """The action that was the newest at a time in [since_boot, since_boot + unsure_s).

        None where that was none, one that is not remembered, or one of several.
        """
        asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        first = since_boot - asleep
        earlier = [action_id for begun, action_id in self._begun if begun <= first][-1:]
        within = [i for begun, i in self._begun if first < begun < first + unsure_s]
        found = earlier + within
        return found[0] if len(found) == 1 else None
