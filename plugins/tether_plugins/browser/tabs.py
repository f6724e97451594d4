"""A context's tabs, by their numbers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.browser import BrowserTab
from tether_runtime_client.protocol.errors import BrowserLimit

from . import limits
from .failures import StepProblem
from .limits import cut

if TYPE_CHECKING:
    from playwright.async_api import Page


CRASHED = "its page has crashed"
UNRESPONSIVE = "it does not answer"
ASKING = "it opens dialogs again and again"

ANSWER_S = 1.0


@dataclass(eq=False)
class Tab:
    """A page by its number. `problem` is why it can no longer be used as it is.

    `unswept` is how much of trees was made of it since its garbage was collected.
    """

    number: int
    page: Page
    opened_by_page: bool = False
    status: int | None = None
    problem: str | None = None
    loading: bool = False
    unswept: int = 0


class Tabs:
    """Which there are, and which one is shown."""

    def __init__(self, context: str, most: int) -> None:
        self._context = context
        self._most = most
        self._tabs: dict[int, Tab] = {}
        self._shown = 0
        self._next = 0

    def __bool__(self) -> bool:
        return bool(self._tabs)

    @property
    def is_full(self) -> bool:
        """Whether there are as many as may be."""
        return len(self._tabs) >= self._most

    @property
    def shown(self) -> Tab:
        """The one that actions are about."""
        if not self._tabs:
            raise StepProblem("closed", "the page has closed itself, and there is no other tab")
        return self._tabs[self._shown]

    def all(self) -> list[Tab]:
        """In the order of their numbers."""
        return list(self._tabs.values())

    def of(self, page: Page) -> Tab | None:
        """The one that has this page."""
        return next((tab for tab in self._tabs.values() if tab.page is page), None)

    def make_room(self) -> None:
        """Raises `BrowserLimit` where there can be no more."""
        if self.is_full:
            raise BrowserLimit(f"there are {len(self._tabs)} tabs in {self._context!r} already")

    def add(self, page: Page, *, opened_by_page: bool = False) -> Tab:
        """One more, which is not shown unless it is the only one."""
        tab = Tab(self._next, page, opened_by_page)
        self._next += 1
        self._tabs[tab.number] = tab
        if len(self._tabs) == 1:
            self._shown = tab.number
        return tab

    def show(self, number: int) -> Tab:
        """Go to another one."""
        if number not in self._tabs:
            there = ", ".join(map(str, self._tabs))
            raise StepProblem("not_found", f"there is no tab {number}; there are {there}")
        self._shown = number
        return self.shown

    def forget(self, tab: Tab) -> None:
        """One that was closed. Where it was shown, the newest is."""
        self._tabs.pop(tab.number, None)
        if self._shown == tab.number and self._tabs:
            self._shown = max(self._tabs)

    def listed(self, titles: dict[int, str]) -> tuple[BrowserTab, ...]:
        """As they are told."""
        return tuple(
            BrowserTab(
                tab=tab.number,
                url=cut(tab.page.url, limits.URL),
                title=titles.get(tab.number, ""),
                opened_by_page=tab.opened_by_page,
                problem=tab.problem,
            )
            for tab in self.all()
        )


async def answers(page: Page) -> bool:
    """Whether its script is not at something without end. An error is an answer."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await page.title()
    except TimeoutError:
        return False
    except Exception:
        return True
    return True
