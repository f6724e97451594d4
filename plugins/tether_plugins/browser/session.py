"""A context: cookies, storage and tabs of its own, and what happened on its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.browser import (
    BrowserTab,
    ContextSettings,
    ShownDialog,
)
from tether_runtime_client.protocol.errors import BrowserLimit

from . import limits
from .downloads import Downloads
from .failures import StepProblem
from .files import FileStore
from .limits import cut
from .logs import Log

if TYPE_CHECKING:
    from playwright.async_api import (
        Browser,
        BrowserContext,
        Dialog,
        Download,
        Frame,
        Page,
        Request,
        Response,
        Route,
    )

CLOSE_S = 5.0


@dataclass(eq=False)
class Tab:
    """A page by its number. `problem` is why it can no longer be used as it is."""

    number: int
    page: Page
    opened_by_page: bool = False
    status: int | None = None
    problem: str | None = None
    loading: bool = False


class Session:
    """A context that is open. Its owner sees to it that one action uses it at a time."""

    def __init__(self, name: str, context: BrowserContext, files: FileStore, max_tabs: int) -> None:
        self.name = name
        self.context = context
        self.log = Log()
        self.downloads = Downloads(files)
        self.accept_dialogs = False
        self.prompt_text: str | None = None
        self._max_tabs = max_tabs
        self._tabs: dict[int, Tab] = {}
        self._shown = 0
        self._next = 0
        self._asked_for = 0
        self._navigating: set[Request] = set()
        self._coming = 0
        self._arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._trace: Path | None = None

    @classmethod
    async def open(
        cls,
        name: str,
        browser: Browser,
        settings: ContextSettings,
        storage: Path | None,
        files: FileStore,
        max_tabs: int,
    ) -> Session:
        """A new one, with an empty tab."""
        options = _options(settings) | ({"storage_state": storage} if storage is not None else {})
        context = await browser.new_context(**options)
        session = cls(name, context, files, max_tabs)
        try:
            session._listen()
            for pattern in settings.block:
                await context.route(pattern, _refuse)
            if settings.trace:
                await context.tracing.start(screenshots=True, snapshots=True)
                session._trace = files.new("trace.zip")
            await session.new_tab()
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def tab(self) -> Tab:
        """The tab that is shown."""
        return self._tabs[self._shown]

    def tabs(self) -> list[Tab]:
        """All, in the order of their numbers."""
        return list(self._tabs.values())

    async def new_tab(self) -> Tab:
        """One more tab, which is shown from now on."""
        if len(self._tabs) >= self._max_tabs:
            raise BrowserLimit(f"there are {len(self._tabs)} tabs in {self.name!r} already")
        self._asked_for += 1
        try:
            page = await self.context.new_page()
        finally:
            self._asked_for -= 1
        tab = self._of(page) or self._add(page)
        tab.opened_by_page = False
        self._shown = tab.number
        return tab

    def show(self, number: int) -> Tab:
        """Go to another tab."""
        if number not in self._tabs:
            there = ", ".join(map(str, self._tabs))
            raise StepProblem("not_found", f"there is no tab {number}; there are {there}")
        self._shown = number
        return self.tab

    async def close_tab(self, number: int | None) -> None:
        """Close one; the last one is replaced by an empty one."""
        tab = self.show(number) if number is not None else self.tab
        await self._drop(tab)
        if not self._tabs:
            await self.new_tab()

    async def usable(self) -> Tab:
        """The tab that is shown, with a new page in its place where the old one is lost."""
        if not self._tabs:
            return await self.new_tab()
        tab = self.tab
        if tab.problem is not None:
            lost = tab.page
            tab.page = await self._replacement()
            tab.problem, tab.status, tab.loading = None, None, False
            self._spawn(_quietly(lost.close()))
        return tab

    async def arrive(self, timeout_s: float) -> None:
        """Wait for navigations and popups that began, at most so long: for their answers, not for
        loads.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._navigating or self._coming:
                    self._arrived.clear()
                    await self._arrived.wait()
        self._navigating.clear()
        self._coming = 0

    async def end_trace(self) -> str | None:
        """The path of what was recorded."""
        path, self._trace = self._trace, None
        if path is None:
            return None
        await self.context.tracing.stop(path=path)
        return str(path)

    async def close(self) -> None:
        """With all its pages. Twice is safe."""
        self.downloads.stop()
        await _quietly(self.context.close())
        for task in self._tasks:
            task.cancel()

    def listed(self, titles: dict[int, str]) -> tuple[BrowserTab, ...]:
        """The tabs, as they are told."""
        return tuple(
            BrowserTab(
                tab=tab.number,
                url=cut(tab.page.url, limits.URL),
                title=titles.get(tab.number, ""),
                opened_by_page=tab.opened_by_page,
                problem=tab.problem,
            )
            for tab in self.tabs()
        )

    # --- what pages do

    def _listen(self) -> None:
        context = self.context
        context.on("page", self._opened)
        context.on("console", self.log.wrote)
        context.on("weberror", self.log.raised)
        context.on("request", self._requested)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)
        context.on("dialog", lambda dialog: self._spawn(self._answer(dialog)))

    def _opened(self, page: Page) -> None:
        if self._of(page) is not None:
            return
        if not self._asked_for and len(self._tabs) >= self._max_tabs:
            self._spawn(_quietly(page.close()))  # a page that opens windows without an end
            return
        self._add(page, opened_by_page=True)
        self._coming = max(0, self._coming - 1)
        self._arrived.set()

    def _add(self, page: Page, *, opened_by_page: bool = False) -> Tab:
        tab = Tab(self._next, page, opened_by_page)
        self._next += 1
        self._tabs[tab.number] = tab
        self._follow(page)
        return tab

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

    def _closed(self, page: Page) -> None:
        tab = self._of(page)
        if tab is not None:
            self._forget(tab)

    def _crashed(self, page: Page) -> None:
        tab = self._of(page)
        if tab is not None:
            tab.problem = "its page has crashed"

    def _downloaded(self, download: Download) -> None:
        self.downloads.began(download)

    def _requested(self, request: Request) -> None:
        if _is_document(request):
            self._navigating.add(request)
            self._coming += _frame_of(request) is None

    def _failed(self, request: Request) -> None:
        self.log.failed(request)
        self._over(request)

    def _answered(self, response: Response) -> None:
        self.log.answered(response)
        self._over(response.request)
        tab = self._loading(response.request)
        if tab is not None:
            tab.status = response.status

    def _loading(self, request: Request) -> Tab | None:
        """The tab whose document it is for."""
        frame = _frame_of(request) if _is_document(request) else None
        return self._of(frame.page) if frame is not None else None

    def _over(self, request: Request) -> None:
        self._navigating.discard(request)
        self._arrived.set()

    async def _answer(self, dialog: Dialog) -> None:
        """At once: a page waits for it."""
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

    # --- tabs

    def _of(self, page: Page) -> Tab | None:
        return next((tab for tab in self._tabs.values() if tab.page is page), None)

    async def _drop(self, tab: Tab) -> None:
        self._forget(tab)
        await _quietly(tab.page.close())

    def _forget(self, tab: Tab) -> None:
        self._tabs.pop(tab.number, None)
        if self._shown == tab.number and self._tabs:
            self._shown = max(self._tabs)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_document(request: Request) -> bool:
    """Whether it is for a tab's own document, and not for a frame's."""
    if not request.is_navigation_request():
        return False
    frame = _frame_of(request)
    return frame is None or frame.parent_frame is None


def _frame_of(request: Request) -> Frame | None:
    """Playwright knows none of a page that has not come up yet."""
    try:
        return request.frame
    except Exception:
        return None


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
