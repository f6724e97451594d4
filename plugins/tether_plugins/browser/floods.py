"""Pages that make so much happen that nobody else in the browser is heard any more."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import limits

if TYPE_CHECKING:
    from playwright.async_api import Page

WEIGHTS = {"console messages": 1, "requests": 3, "dialogs": 100, "windows": 100, "downloads": 50}
"""What one of each costs, against `limits.FLOOD`."""


class Floods:
    """How much each page of a context did within the last seconds. `stop` ends one."""

    def __init__(self, stop: Callable[[Page, str], None]) -> None:
        self._stop = stop
        self._pages: dict[Page, tuple[float, int]] = {}
        self._dialogs: Counter[Page] = Counter()

    def count(self, page: Page | None, kind: str) -> None:
        """Something happened, of a kind of `WEIGHTS`."""
        if page is None:
            return
        self._dialogs[page] += kind == "dialogs"
        began, weight = self._pages.get(page, (0.0, 0))
        weight += WEIGHTS[kind]
        if weight > limits.FLOOD:
            now = time.monotonic()
            if now - began < limits.FLOOD_S:
                self._stop(page, f"it was closed: {kind} without end")
            began, weight = now, 0
        elif not began:
            began = time.monotonic()
        self._pages[page] = began, weight

    def forget(self, page: Page) -> None:
        """One that is gone."""
        self._pages.pop(page, None)
        self._dialogs.pop(page, None)

    def asks_often(self, page: Page) -> bool:
        """Whether it opens dialogs again and again, amid which no other page may come."""
        return self._dialogs[page] >= limits.OFTEN
