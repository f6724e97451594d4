"""Navigations and popups that have begun and are not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Frame, Page, Request


class Arrivals:
    """Those of one context, by the requests for their documents."""

    def __init__(self) -> None:
        self._navigating: set[Request] = set()
        self._popups = 0
        self._arrived = asyncio.Event()

    def requested(self, request: Request) -> None:
        """Something is asked for. A popup asks before it is a page."""
        if is_document(request):
            self._navigating.add(request)
            self._popups += _frame_of(request) is None

    def over(self, request: Request) -> None:
        """An answer came, or none will."""
        self._navigating.discard(request)
        self._arrived.set()

    def opened(self) -> None:
        """A popup is there."""
        self._popups = max(0, self._popups - 1)
        self._arrived.set()

    def coming(self, page: Page) -> str | None:
        """The address that the page goes to, from where no answer has come."""
        return next((one.url for one in self._navigating if page_of(one) is page), None)

    async def wait(self, timeout_s: float, all_told: Callable[[], Awaitable[bool]]) -> None:
        """At most so long: for answers and popups, not for loads."""
        self._forget(lambda page: page is not None and page.is_closed())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while await self._are_coming(all_told):
                    await self._arrived.wait()
        self._popups = 0
        self._forget(lambda page: page is None)  # of popups that did not come

    def _forget(self, is_gone: Callable[[Page | None], bool]) -> None:
        self._navigating = {one for one in self._navigating if not is_gone(page_of(one))}

    async def _are_coming(self, all_told: Callable[[], Awaitable[bool]]) -> bool:
        self._arrived.clear()
        return bool(self._navigating or self._popups) or not await all_told()


def is_document(request: Request) -> bool:
    """Whether it is for a tab's own document, and not for a frame's."""
    if not request.is_navigation_request():
        return False
    frame = _frame_of(request)
    return frame is None or frame.parent_frame is None


def page_of(request: Request) -> Page | None:
    """The page whose document it is for, where that has come up."""
    frame = _frame_of(request) if is_document(request) else None
    return frame.page if frame is not None else None


def any_page_of(request: Request) -> Page | None:
    """The page that asks, where that has come up."""
    frame = _frame_of(request)
    return frame.page if frame is not None else None


def _frame_of(request: Request) -> Frame | None:
    """Playwright knows none of a page that has not come up yet."""
    try:
        return request.frame
    except Exception:
        return None
