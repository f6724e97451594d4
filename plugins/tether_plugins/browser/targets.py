"""The element that a step means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.browser import Target

from .failures import StepProblem
from .limits import MESSAGE, cut

if TYPE_CHECKING:
    from playwright.async_api import ElementHandle, Locator, Page

_AT_POINT = """([x, y]) => {
  let found = document.elementFromPoint(x, y);
  while (found?.shadowRoot) {
    const inner = found.shadowRoot.elementFromPoint(x, y);
    if (!inner || inner === found) break;
    found = inner;
  }
  return found;
}"""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in what is shown of the page."""

    x: float
    y: float


async def locate(page: Page, target: Target) -> Locator | Point:
    """Where a target leads. One that is named by an id of an old tree is not waited for."""
    if target.x is not None and target.y is not None:
        return Point(target.x, target.y)
    if target.element is not None:
        locator = page.locator(f"aria-ref={target.element}")
        if not await locator.count():
            raise StepProblem(
                "not_found",
                f"there is no element {target.element} any more; a new tree has what there is",
            )
        return locator
    root: Any = page.frame_locator(target.frame) if target.frame is not None else page
    if target.role is not None:
        found = root.get_by_role(target.role, name=target.name, exact=target.exact)
    else:
        found = root.locator(f"css={target.css}")
    return found.nth(target.nth) if target.nth is not None else found  # type: ignore[no-any-return]


async def element(page: Page, target: Target, timeout: float) -> Locator | ElementHandle:
    """An element, also where a point was named. `timeout` is in milliseconds."""
    found = await locate(page, target)
    if not isinstance(found, Point):
        return found
    handle = await page.evaluate_handle(_AT_POINT, [found.x, found.y])
    at_point = handle.as_element()
    if at_point is None:
        raise StepProblem("not_found", f"nothing is at {found.x:g}, {found.y:g}")
    return at_point


async def middle(page: Page, target: Target, timeout: float) -> Point:
    """The point that a pointer would go to."""
    found = await locate(page, target)
    if isinstance(found, Point):
        return found
    await found.scroll_into_view_if_needed(timeout=timeout)
    box = await found.bounding_box(timeout=timeout)
    if box is None:
        raise StepProblem("hidden", f"{words(target)} is not visible")
    return Point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def words(target: Target) -> str:
    """What a step is about, for people."""
    if target.element is not None:
        return target.element
    if target.role is not None:
        return cut(f"{target.role} {target.name!r}" if target.name else target.role, MESSAGE)
    if target.css is not None:
        return cut(target.css, MESSAGE)
    return f"{target.x:g}, {target.y:g}" if target.x is not None else "the page"
