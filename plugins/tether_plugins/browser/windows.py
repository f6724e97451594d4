"""Popups that a page has opened and Playwright has not told yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Page

_PAGES = {"filter": [{"type": "page"}]}


class Windows:
    """Those of one context. Chromium has a window by the end of the click that opens it; Playwright
    tells it once it has been set up, which takes some messages to and fro.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._chromium: CDPSession | None = None
        self._id = ""

    async def all_told(self, page: Page) -> bool:
        """Whether there is none; `page` is any of the context. Raises what Playwright does."""
        if self._chromium is None:
            await self._connect(page)
        assert self._chromium is not None
        found = await self._chromium.send("Target.getTargets", _PAGES)
        ours = [one for one in found["targetInfos"] if one.get("browserContextId") == self._id]
        return len(ours) <= len(self._context.pages)

    async def _connect(self, page: Page) -> None:
        assert self._context.browser is not None
        asking = await self._context.new_cdp_session(page)
        try:
            found = await asking.send("Target.getTargetInfo")
        finally:
            await asking.detach()
        self._id = found["targetInfo"]["browserContextId"]
        self._chromium = await self._context.browser.new_browser_cdp_session()

    async def close(self) -> None:
        """Ask no more."""
        if self._chromium is not None:
            await self._chromium.detach()
