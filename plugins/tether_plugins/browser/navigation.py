"""How pages are gone to. Timeouts here are milliseconds, as Playwright has them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol import browser as b

from .session import Session
from .tabs import ASKING, UNRESPONSIVE, Tab, answers

if TYPE_CHECKING:
    from playwright.async_api import Page, Response

STOP_S = 2.0

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d+(/|$))")
"""Not a host and its port."""


async def go(session: Session, url: str, wait_until: b.LoadState, timeout: float) -> None:
    """Load a page. Only its document has to come in time."""
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as Late

    tab = await session.usable()
    tab.loading = False
    session.downloads.begun.clear()
    try:
        response = await tab.page.goto(with_scheme(url), wait_until="commit", timeout=timeout)
    except Late:
        await _stop(session)
        await _look_whether_stuck(session, tab)
        raise
    except Error as problem:
        if "Download is starting" in problem.message:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await session.downloads.begun.wait()
            return
        if "net::ERR_" in problem.message:
            await _told_by_chromium(tab.page)
        await _look_whether_stuck(session, tab)
        raise
    tab.status = response.status if response is not None else None
    if wait_until != "commit":
        await loaded(session, wait_until, timeout)


async def _look_whether_stuck(session: Session, tab: Tab) -> None:
    """A page that hangs, or opens dialogs again and again, lets none come in its place."""
    if tab.problem is not None:
        return
    if session.floods.asks_often(tab.page):
        tab.problem = ASKING
    elif not await answers(tab.page):
        tab.problem = UNRESPONSIVE


async def _stop(session: Session) -> None:
    """Give up a navigation: nothing is heard of the page that is there while it is waited for."""
    from playwright.async_api import Error

    with suppress(Error, TimeoutError):
        async with asyncio.timeout(STOP_S):
            connection = await session.context.new_cdp_session(session.tab.page)
            await connection.send("Page.stopLoading")
            await connection.detach()


async def _told_by_chromium(page: Page) -> None:
    """Its own page about the failure comes after it is told, in the place of the one before."""
    from playwright.async_api import Error

    with suppress(Error):
        await page.wait_for_url("chrome-error://**", wait_until="commit", timeout=1000)


async def loaded(session: Session, state: b.LoadState, timeout: float) -> None:
    """Wait for a load; one that takes longer is told with the page."""
    from playwright.async_api import TimeoutError as Late

    tab = session.tab
    try:
        await tab.page.wait_for_load_state(named(state), timeout=timeout)
        tab.loading = False
    except Late:
        tab.loading = True


def with_scheme(url: str) -> str:
    """An address as it may be typed: `localhost:8000/page`."""
    return url if _SCHEME.match(url) else f"http://{url}"


async def goto(session: Session, step: b.GotoStep, timeout: float) -> None:
    """To an address."""
    await go(session, step.url, step.wait_until, timeout)


async def back(session: Session, step: b.BackStep, timeout: float) -> None:
    """In the tab's history."""
    going = session.tab.page.go_back(wait_until="commit", timeout=timeout)
    await _arrived(session, going, timeout)


async def forward(session: Session, step: b.ForwardStep, timeout: float) -> None:
    """In the tab's history."""
    going = session.tab.page.go_forward(wait_until="commit", timeout=timeout)
    await _arrived(session, going, timeout)


async def reload(session: Session, step: b.ReloadStep, timeout: float) -> None:
    """Once more, in a new page where the old one is lost."""
    lost = session.tab.page
    tab = await session.usable()
    if tab.page is not lost:
        await go(session, lost.url, "load", timeout)
        return
    await _arrived(session, tab.page.reload(wait_until="commit", timeout=timeout), timeout)


async def _arrived(session: Session, going: Awaitable[Response | None], timeout: float) -> None:
    response = await going
    session.tab.status = response.status if response is not None else None
    await loaded(session, "load", timeout)


def named(state: b.LoadState) -> Any:
    """As Playwright calls it."""
    return "domcontentloaded" if state == "commit" else state
