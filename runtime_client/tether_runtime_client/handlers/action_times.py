"""Which action ran in a session when a process was started."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

_KEPT = 256


@dataclass(slots=True)
class ActionTime:
    """When an action's command ran, by the loop's clock."""

    action_id: str
    begun: float
    ended: float = math.inf


class ActionTimes:
    """The newest actions of a session."""

    def __init__(self) -> None:
        self._kept: deque[ActionTime] = deque(maxlen=_KEPT)

    def add(self, one: ActionTime) -> None:
        """Its command begins."""
        self._kept.append(one)

    def at(self, since_boot: float, unsure_s: float) -> str | None:
        """The action that ran at a time in [since_boot, since_boot + unsure_s), or ran last before.

        None where that was none, one that is not remembered, or one of several.
        """
        asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        first = since_boot - asleep
        last = first + unsure_s
        ran = [one.action_id for one in self._kept if one.begun < last and one.ended >= first]
        before = [one.action_id for one in self._kept if one.ended < first][-1:]
        found = ran or before
        return found[0] if len(found) == 1 else None
