"""A context that is open: its tabs, and what happens on its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.browser import ContextSettings, ShownDialog

from . import limits
from .arrivals import Arrivals, any_page_of, page_of
from .config import BrowserConfig
from .downloads import Downloads
from .files import FileStore
from .floods import Floods
from .garbage import collect
from .limits import cut
from .logs import Log
from .recordings import Recorded, Recordings
from .tabs import CRASHED, UNRESPONSIVE, Tab, Tabs, answers
from .windows import Windows

if TYPE_CHECKING:
    from playwright.async_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Dialog,
        Download,
        Page,
        Request,
        Response,
        Route,
    )

CLOSE_S = 5.0


class Session:
    """Its owner sees to it that one action uses it at a time."""

    def __init__(
        self,
        name: str,
        context: BrowserContext,
        files: FileStore,
        incoming: Path,
        config: BrowserConfig,
    ) -> None:
        self.name = name
        self.context = context
        self.log = Log()
        self.downloads = Downloads(files, incoming, config.files_bytes)
        self.tabs = Tabs(name, config.max_tabs)
        self.arrivals = Arrivals()
        self.floods = Floods(self._stop)
        self.accept_dialogs = False
        self.prompt_text: str | None = None
        self._windows = Windows(context)
        self._recordings = Recordings(context, files, config.video_bytes)
        self._asked_for = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(
        cls,
        name: str,
        browser: Browser,
        settings: ContextSettings,
        storage: Path | None,
        files: FileStore,
        incoming: Path,
        config: BrowserConfig,
    ) -> Session:
        """A new one, with an empty tab. Chromium's downloads are `incoming`."""
        options = _options(settings) | ({"storage_state": storage} if storage is not None else {})
        context = await browser.new_context(**options)
        session = cls(name, context, files, incoming, config)
        try:
            session._listen()
            for pattern in settings.block:
                await context.route(pattern, _refuse)
            await session._recordings.start(browser, settings)
            await session.new_tab()
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def tab(self) -> Tab:
        """The tab that is shown."""
        return self.tabs.shown

    async def new_tab(self) -> Tab:
        """One more tab, which is shown from now on."""
        self.tabs.make_room()
        self._asked_for += 1
        try:
            page = await self.context.new_page()
        finally:
            self._asked_for -= 1
        tab = self.tabs.of(page) or self._add(page)
        tab.opened_by_page = False
        return await self.show(tab.number)

    async def show(self, number: int) -> Tab:
        """Go to another tab."""
        tab = self.tabs.show(number)
        await self._recordings.follow(tab.page)
        return tab

    async def close_tab(self, number: int | None) -> None:
        """Close one; the last one is replaced by an empty one."""
        tab = self.tabs.show(number) if number is not None else self.tab
        self.tabs.forget(tab)
        await _quietly(tab.page.close())
        if self.tabs:
            await self.show(self.tab.number)
        else:
            await self.new_tab()

    async def usable(self) -> Tab:
        """The tab that is shown, with a new page in its place where the old one is lost."""
        if not self.tabs:
            return await self.new_tab()
        tab = self.tab
        if tab.problem is None and not await answers(tab.page):
            tab.problem = UNRESPONSIVE
        if tab.problem is not None:
            lost = tab.page
            tab.page = await self._replacement()
            tab.problem, tab.status, tab.loading = None, None, False
            self._spawn(_quietly(lost.close()))
            await self._recordings.follow(tab.page)
        return tab

    async def arrive(self, timeout_s: float) -> None:
        """What has begun to come is let come: answers, and popups."""
        await self.arrivals.wait(timeout_s, self._all_told)

    async def _all_told(self) -> bool:
        if not self.tabs:
            return True
        try:
            return await self._windows.all_told(self.tabs.shown.page)
        except Exception:  # the browser is gone, or its page: looking at that tells
            return True

    def sweep(self, tab: Tab) -> None:
        """Have the garbage of the tab's trees collected, if there is much; nobody waits for it."""
        if tab.unswept >= limits.UNSWEPT:
            tab.unswept = 0
            self._spawn(_quietly(collect(tab.page)))

    async def end_recordings(self, *, alive: bool) -> Recorded:
        """Finish them: as far as they came, where the browser is no longer alive."""
        return await self._recordings.end(alive=alive)

    async def close(self) -> None:
        """With all its pages. Twice is safe."""
        self.downloads.stop()
        await self._recordings.end(alive=False)
        await asyncio.gather(_quietly(self._windows.close()), _quietly(self.context.close()))
        for task in self._tasks:
            task.cancel()

    # --- what pages do

    def _listen(self) -> None:
        context = self.context
        context.on("page", self._opened)
        context.on("console", self._wrote)
        context.on("weberror", self.log.raised)
        context.on("request", self._requested)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)
        context.on("dialog", lambda dialog: self._spawn(self._answer(dialog)))

    def _opened(self, page: Page) -> None:
        if self.tabs.of(page) is not None:
            return
        if not self._asked_for and self.tabs.is_full:
            self._spawn(self._refuse_window(page))
            return
        self._add(page, opened_by_page=True)
        self.arrivals.opened()

    def _add(self, page: Page, *, opened_by_page: bool = False) -> Tab:
        self._follow(page)
        return self.tabs.add(page, opened_by_page=opened_by_page)

    def _follow(self, page: Page) -> None:
        page.on("close", self._closed)
        page.on("crash", self._crashed)
        page.on("download", self._downloaded)

    async def _replacement(self) -> Page:
        """A page that is no new tab."""
        self.context.remove_listener("page", self._opened)
        try:
            page = await self.context.new_page()
        finally:
            self.context.on("page", self._opened)
        self._follow(page)
        return page

    async def _refuse_window(self, page: Page) -> None:
        """A page that opens windows without an end is known by them."""
        with suppress(Exception):
            self.floods.count(await page.opener(), "windows")
        await _quietly(page.close())

    def _stop(self, page: Page, problem: str) -> None:
        tab = self.tabs.of(page)
        if tab is not None and tab.problem is None:
            tab.problem = problem
            self.context.remove_listener("console", self._wrote)  # much of it is still to come
            self._spawn(self._end_flood(page))

    async def _end_flood(self, page: Page) -> None:
        await _quietly(page.close())
        self.context.on("console", self._wrote)

    def _closed(self, page: Page) -> None:
        self.floods.forget(page)
        tab = self.tabs.of(page)
        if tab is None or tab.problem is not None:  # which stays until that was seen
            return
        self.tabs.forget(tab)
        if self.tabs:
            self._spawn(self._recordings.follow(self.tab.page))

    def _crashed(self, page: Page) -> None:
        tab = self.tabs.of(page)
        if tab is not None:
            tab.problem = CRASHED

    def _wrote(self, message: ConsoleMessage) -> None:
        self.floods.count(message.page, "console messages")
        self.log.wrote(message)

    def _requested(self, request: Request) -> None:
        self.floods.count(any_page_of(request), "requests")
        self.arrivals.requested(request)

    def _downloaded(self, download: Download) -> None:
        self.floods.count(download.page, "downloads")
        self.downloads.began(download)

    def _failed(self, request: Request) -> None:
        self.log.failed(request)
        self.arrivals.over(request)

    def _answered(self, response: Response) -> None:
        self.log.answered(response)
        self.arrivals.over(response.request)
        page = page_of(response.request)
        tab = self.tabs.of(page) if page is not None else None
        if tab is not None:
            tab.status = response.status

    async def _answer(self, dialog: Dialog) -> None:
        """At once: a page waits for it."""
        self.floods.count(dialog.page, "dialogs")
        accepted = self.accept_dialogs or dialog.type == "beforeunload"
        self.log.dialogs.add(
            ShownDialog(
                kind=cut(dialog.type, limits.NAME),
                message=cut(dialog.message, limits.ENTRY),
                answer="accepted" if accepted else "dismissed",
                default_value=cut(dialog.default_value, limits.ENTRY),
            )
        )
        if accepted:
            text = self.prompt_text if dialog.type == "prompt" else None
            await _quietly(dialog.accept(text) if text is not None else dialog.accept())
        else:
            await _quietly(dialog.dismiss())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(closing: Awaitable[object]) -> None:
    """Of something that may be gone already, or hang: it is given some seconds."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await closing


async def _refuse(route: Route) -> None:
    await _quietly(route.abort("blockedbyclient"))


def _options(settings: ContextSettings) -> dict[str, Any]:
    """As Playwright calls them."""
    options: dict[str, Any] = {
        "viewport": settings.viewport.model_dump(),
        "locale": settings.locale,
        "timezone_id": settings.timezone,
        "user_agent": settings.user_agent,
        "ignore_https_errors": settings.ignore_https_errors,
        "accept_downloads": True,
    }
    for name, given in (("proxy", settings.proxy), ("http_credentials", settings.credentials)):
        if given is not None:
            options[name] = given.model_dump(exclude_none=True)
    return {name: value for name, value in options.items() if value is not None}
