"""Numbers on a screenshot, each at the upper left of the element whose id has it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from . import limits

if TYPE_CHECKING:
    from playwright.async_api import Page

ROLES = (
    "button|checkbox|combobox|link|listbox|menuitem|menuitemcheckbox|menuitemradio|option|radio"
    "|searchbox|slider|spinbutton|switch|tab|textbox|treeitem"
)
_LINE = re.compile(
    rf"^ *- '?(?:{ROLES})(?: \"(?:[^\"\\]|\\.)*\")?(?: \[[^\]\n]*\])*?"
    r" \[ref=((?:f\d+)?e\d+)\]",
    re.MULTILINE,
)
"""The id is behind the name, which may have anything in it."""
_BOX_S = 2.0

_DRAW = """marks => {
  const host = document.createElement('tether-marks');
  host.style.cssText = 'all:initial;position:absolute;left:0;top:0;z-index:2147483647';
  const root = host.attachShadow({mode: 'closed'});
  for (const [number, x, y, width, height] of marks) {
    const left = x + scrollX, top = y + scrollY;
    const box = document.createElement('div');
    box.style.cssText = `position:absolute;left:${left}px;top:${top}px;width:${width}px;`
      + `height:${height}px;outline:1px solid #d00;pointer-events:none`;
    const label = document.createElement('div');
    label.textContent = number;
    label.style.cssText = 'position:absolute;left:0;top:0;font:bold 10px sans-serif;color:#fff;'
      + 'background:#d00;padding:0 2px;line-height:12px';
    box.append(label);
    root.append(box);
  }
  document.documentElement.append(host);
}"""
_REMOVE = "() => document.querySelector('tether-marks')?.remove()"


@asynccontextmanager
async def marked(page: Page, tree: str) -> AsyncIterator[tuple[str, ...]]:
    """Has the numbers on the page for as long as the block takes; gives the ids that have one."""
    ids = [found[1] for found in _LINE.finditer(tree)][: limits.MARKS]
    if not ids:
        yield ()
        return
    boxes = await asyncio.gather(*(_box(page, one) for one in ids))
    drawn = [(one, box) for one, box in zip(ids, boxes, strict=True) if box is not None]
    try:
        yield await _draw(page, drawn)
    finally:
        with suppress(Exception):  # the page has gone, and they with it, or hangs
            async with asyncio.timeout(_BOX_S):
                await page.evaluate(_REMOVE)


async def _draw(page: Page, drawn: list[tuple[str, list[Any]]]) -> tuple[str, ...]:
    """The ids that have a number: none where the page's own script is in the way."""
    try:
        await page.evaluate(_DRAW, [[one.removeprefix("e"), *box] for one, box in drawn])
    except Exception:
        return ()
    return tuple(one for one, _ in drawn)


async def _box(page: Page, element: str) -> list[Any] | None:
    """Where it is in what is shown; None if it cannot be seen."""
    try:
        async with asyncio.timeout(_BOX_S):
            box = await page.locator(f"aria-ref={element}").bounding_box(timeout=_BOX_S * 1000)
    except Exception:  # it has gone meanwhile
        return None
    if box is None or not box["width"] or not box["height"]:
        return None
    return [box["x"], box["y"], box["width"], box["height"]]
