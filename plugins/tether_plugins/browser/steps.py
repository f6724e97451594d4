"""What each step does. Timeouts here are milliseconds, as Playwright has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from tether_runtime_client.protocol import browser as b

from . import limits
from .failures import StepProblem
from .limits import cut
from .session import Session
from .targets import Point, element, locate, middle

if TYPE_CHECKING:
    from playwright.async_api import Page, Response

STOP_S = 2.0

Step = Callable[[Session, Any, float], Awaitable[JsonValue]]


async def go(session: Session, url: str, wait_until: b.LoadState, timeout: float) -> None:
    """Load a page. Only its document has to come in time."""
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as Late

    tab = await session.usable()
    tab.loading = False
    try:
        response = await tab.page.goto(with_scheme(url), wait_until="commit", timeout=timeout)
    except Late:
        await _stop(session)
        raise
    except Error as problem:
        if "Download is starting" in problem.message:
            return
        if "net::ERR_" in problem.message:
            await _told_by_chromium(tab.page)
        raise
    tab.status = response.status if response is not None else None
    if wait_until != "commit":
        await loaded(session, wait_until, timeout)


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
        await tab.page.wait_for_load_state(_state(state), timeout=timeout)
        tab.loading = False
    except Late:
        tab.loading = True


def with_scheme(url: str) -> str:
    """An address as it may be typed: `localhost:8000/page`."""
    head = url.split("/", 1)[0]
    known = "://" in url or head.lower().startswith(("about:", "data:", "blob:", "file:"))
    return url if known else f"http://{url}"


async def _goto(session: Session, step: b.GotoStep, timeout: float) -> None:
    await go(session, step.url, step.wait_until, timeout)


async def _back(session: Session, step: b.BackStep, timeout: float) -> None:
    going = session.tab.page.go_back(wait_until="commit", timeout=timeout)
    await _arrived(session, going, timeout)


async def _forward(session: Session, step: b.ForwardStep, timeout: float) -> None:
    going = session.tab.page.go_forward(wait_until="commit", timeout=timeout)
    await _arrived(session, going, timeout)


async def _reload(session: Session, step: b.ReloadStep, timeout: float) -> None:
    tab = await session.usable()
    await _arrived(session, tab.page.reload(wait_until="commit", timeout=timeout), timeout)


async def _arrived(session: Session, going: Awaitable[Response | None], timeout: float) -> None:
    response = await going
    session.tab.status = response.status if response is not None else None
    await loaded(session, "load", timeout)


async def _click(session: Session, step: b.ClickStep, timeout: float) -> None:
    page = session.tab.page
    found = await locate(page, step)
    if not isinstance(found, Point):
        clicking = found.click(button=step.button, modifiers=list(step.modifiers), timeout=timeout)
        await _done_at_least(session, clicking)
        return
    for key in step.modifiers:
        await page.keyboard.down(key)
    try:
        await page.mouse.click(found.x, found.y, button=step.button)
    finally:
        for key in step.modifiers:
            await page.keyboard.up(key)


async def _done_at_least(session: Session, clicking: Awaitable[None]) -> None:
    """A click that was done, though the page that it leads to has not come yet."""
    from playwright.async_api import TimeoutError as Late

    try:
        await clicking
    except Late as problem:
        if "waiting for scheduled navigations" not in problem.message:
            raise
        session.tab.loading = True


async def _dblclick(session: Session, step: b.DoubleClickStep, timeout: float) -> None:
    found = await locate(session.tab.page, step)
    if isinstance(found, Point):
        await session.tab.page.mouse.dblclick(found.x, found.y)
    else:
        await _done_at_least(session, found.dblclick(timeout=timeout))


async def _hover(session: Session, step: b.HoverStep, timeout: float) -> None:
    found = await locate(session.tab.page, step)
    if isinstance(found, Point):
        await session.tab.page.mouse.move(found.x, found.y)
    else:
        await found.hover(timeout=timeout)


async def _fill(session: Session, step: b.FillStep, timeout: float) -> None:
    field = await element(session.tab.page, step, timeout)
    await field.fill(step.text, timeout=timeout)


async def _type(session: Session, step: b.TypeStep, timeout: float) -> None:
    await _focus(session.tab.page, step, timeout)
    await session.tab.page.keyboard.type(step.text, delay=step.delay_s * 1000)


async def _press(session: Session, step: b.PressStep, timeout: float) -> None:
    await _focus(session.tab.page, step, timeout)
    await session.tab.page.keyboard.press(step.key)


async def _focus(page: Page, target: b.OptionalTarget, timeout: float) -> None:
    """Where keys go; without a target, to what has the focus already."""
    if not target.is_given:
        return
    found = await locate(page, target)
    if isinstance(found, Point):
        await page.mouse.click(found.x, found.y)
    else:
        await found.focus(timeout=timeout)


async def _select(session: Session, step: b.SelectStep, timeout: float) -> None:
    field = await element(session.tab.page, step, timeout)
    await field.select_option(list(step.options), timeout=timeout)


async def _check(session: Session, step: b.CheckStep, timeout: float) -> None:
    box = await element(session.tab.page, step, timeout)
    await box.set_checked(step.checked, timeout=timeout)


async def _drag(session: Session, step: b.DragStep, timeout: float) -> None:
    page = session.tab.page
    start = await locate(page, step)
    end = await locate(page, step.to)
    if not isinstance(start, Point) and not isinstance(end, Point):
        await start.drag_to(end, timeout=timeout)
        return
    here, there = await middle(page, step, timeout), await middle(page, step.to, timeout)
    await page.mouse.move(here.x, here.y)
    await page.mouse.down()
    try:
        await page.mouse.move(there.x, there.y, steps=5)
    finally:
        await page.mouse.up()


async def _scroll(session: Session, step: b.ScrollStep, timeout: float) -> None:
    page = session.tab.page
    if not step.dx and not step.dy:
        found = await element(page, step, timeout)
        await found.scroll_into_view_if_needed(timeout=timeout)
        return
    if step.is_given:
        place = await middle(page, step, timeout)
    else:
        size = page.viewport_size or {"width": 2, "height": 2}
        place = Point(size["width"] / 2, size["height"] / 2)
    await page.mouse.move(place.x, place.y)
    await page.mouse.wheel(step.dx, step.dy)
    await page.evaluate(_TWO_FRAMES)


_TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""A wheel is told to the page with its next picture."""


async def _upload(session: Session, step: b.UploadStep, timeout: float) -> None:
    page = session.tab.page
    field = await element(page, step, timeout)
    if await field.evaluate("e => e instanceof HTMLInputElement && e.type === 'file'"):
        await field.set_input_files(list(step.paths), timeout=timeout)
        return
    async with page.expect_file_chooser(timeout=timeout) as chooser:
        await field.click(timeout=timeout)
    await (await chooser.value).set_files(list(step.paths), timeout=timeout)


async def _wait_for(session: Session, step: b.WaitForStep, timeout: float) -> None:
    page = session.tab.page
    if step.url is not None:
        await page.wait_for_url(step.url, timeout=timeout, wait_until="commit")
    if step.load is not None and step.load != "commit":
        await page.wait_for_load_state(_state(step.load), timeout=timeout)
    if step.is_given:
        await _wait_for_element(page, step, timeout)
    if step.text is not None:
        await page.get_by_text(step.text).first.wait_for(state=step.state, timeout=timeout)
    if step.expression is not None:
        await page.wait_for_function(step.expression, timeout=timeout)


async def _wait_for_element(page: Page, step: b.WaitForStep, timeout: float) -> None:
    try:
        found = await locate(page, step)
    except StepProblem:
        if step.state in ("hidden", "detached"):
            return
        raise
    if not isinstance(found, Point):
        await found.wait_for(state=step.state, timeout=timeout)


async def _new_tab(session: Session, step: b.NewTabStep, timeout: float) -> None:
    await session.new_tab()
    if step.url is not None:
        await go(session, step.url, "load", timeout)


async def _switch_tab(session: Session, step: b.SwitchTabStep, timeout: float) -> None:
    await session.show(step.tab).page.bring_to_front()


async def _close_tab(session: Session, step: b.CloseTabStep, timeout: float) -> None:
    await session.close_tab(step.tab)


async def _evaluate(session: Session, step: b.EvaluateStep, timeout: float) -> JsonValue:
    if step.is_given:
        found = await element(session.tab.page, step, timeout)
        value = await found.evaluate(step.expression)
    else:
        value = await session.tab.page.evaluate(step.expression)
    return _as_json(value)


def _as_json(value: Any) -> JsonValue:
    """What JavaScript gave, as JSON has it: other things by their text."""
    try:
        text = json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return cut(repr(value), limits.ENTRY)
    if len(text) > limits.RESULT:
        raise StepProblem(
            "other", f"its value takes {len(text):,} bytes, and {limits.RESULT:,} is the most"
        )
    told: JsonValue = json.loads(text)
    return told


def _state(state: b.LoadState) -> Any:
    return "domcontentloaded" if state == "commit" else state


STEPS: dict[type[Any], Step] = {
    b.GotoStep: _goto,
    b.BackStep: _back,
    b.ForwardStep: _forward,
    b.ReloadStep: _reload,
    b.ClickStep: _click,
    b.DoubleClickStep: _dblclick,
    b.HoverStep: _hover,
    b.FillStep: _fill,
    b.TypeStep: _type,
    b.PressStep: _press,
    b.SelectStep: _select,
    b.CheckStep: _check,
    b.DragStep: _drag,
    b.ScrollStep: _scroll,
    b.UploadStep: _upload,
    b.WaitForStep: _wait_for,
    b.NewTabStep: _new_tab,
    b.SwitchTabStep: _switch_tab,
    b.CloseTabStep: _close_tab,
    b.EvaluateStep: _evaluate,
}
"""By exact type."""
