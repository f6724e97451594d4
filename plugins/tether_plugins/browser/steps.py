"""What each step does. Timeouts here are milliseconds, as Playwright has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from tether_runtime_client.protocol import browser as b

from . import navigation
from .failures import StepProblem
from .session import Session
from .targets import Point, element, locate, middle
from .values import value_of

if TYPE_CHECKING:
    from playwright.async_api import Page

Step = Callable[[Session, Any, float], Awaitable[JsonValue]]


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
        await page.wait_for_load_state(navigation.named(step.load), timeout=timeout)
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
        await navigation.go(session, step.url, "load", timeout)


async def _switch_tab(session: Session, step: b.SwitchTabStep, timeout: float) -> None:
    tab = await session.show(step.tab)
    await tab.page.bring_to_front()


async def _close_tab(session: Session, step: b.CloseTabStep, timeout: float) -> None:
    await session.close_tab(step.tab)


async def _evaluate(session: Session, step: b.EvaluateStep, timeout: float) -> JsonValue:
    page = session.tab.page
    async with asyncio.timeout(timeout / 1000):
        if step.is_given:
            found = await element(page, step, timeout)
            handle = await found.evaluate_handle(step.expression)
        else:
            handle = await page.evaluate_handle(step.expression)
        try:
            return await value_of(handle)
        finally:
            await handle.dispose()


STEPS: dict[type[Any], Step] = {
    b.GotoStep: navigation.goto,
    b.BackStep: navigation.back,
    b.ForwardStep: navigation.forward,
    b.ReloadStep: navigation.reload,
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
