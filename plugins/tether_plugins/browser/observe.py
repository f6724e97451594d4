"""A page as it is: each part within its time, and without the others where one cannot be had."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tether_runtime_client.protocol.browser import (
    BrowserPart,
    BrowserScreenshot,
    BrowserTimings,
    FocusedElement,
    ScreenshotOptions,
)

from . import limits
from .failures import plain_message
from .files import FileStore
from .limits import clean, cut
from .marks import marked
from .pictures import size_of
from .session import Session
from .tabs import UNRESPONSIVE, Tab, answers

if TYPE_CHECKING:
    from playwright.async_api import FloatRect, Frame, Page

T = TypeVar("T")

FALLBACK_S = 1.0

TRIES = 3
"""How often a page is looked at that goes elsewhere meanwhile."""

_STALLED = "Loading {}"
"""What Playwright calls a page that cannot be asked for its title, by where it goes to."""

_LOOKS: tuple[BrowserPart, ...] = ("tree", "text", "screenshot")
_NAME = r"(?: \"((?:[^\"\\]|\\.)*)\")?"
_ACTIVE = re.compile(
    rf"^ *- '?(\w+){_NAME}(?: \[[^\]\n]*\])*? \[active\](?: \[[^\]\n]*\])*? \[ref=(\w+)\]",
    re.MULTILINE,
)
"""By the grammar of a line: a page speaks in its name, with the quotes escaped, or after it."""

_FOCUSED = """() => {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  if (!found || found === document.body || found === document.documentElement) return null;
  const name = found.getAttribute('aria-label') || found.labels?.[0]?.innerText
    || found.getAttribute('placeholder') || found.innerText || '';
  return {tag: found.tagName.toLowerCase(), role: found.getAttribute('role'),
          name: name.slice(0, 256)};
}"""
_TEXT = "most => { const t = document.body?.innerText ?? ''; return t.slice(0, most); }"
_WIDTH = "() => document.documentElement.scrollWidth"
_LOADING = """() => {
  const [seen] = performance.getEntriesByType('navigation');
  return seen && [seen.responseStart, seen.domContentLoadedEventEnd, seen.loadEventEnd];
}"""


@dataclass
class Seen:
    """What was found of a page."""

    title: str = ""
    tree: str = ""
    tree_path: str | None = None
    text: str = ""
    text_path: str | None = None
    focused: FocusedElement | None = None
    screenshot: BrowserScreenshot | None = None
    titles: dict[int, str] = field(default_factory=dict)
    timings: BrowserTimings | None = None
    truncated: list[BrowserPart] = field(default_factory=list)
    missing: dict[BrowserPart, str] = field(default_factory=dict)


class Observer:
    """Looks at a tab, once."""

    def __init__(
        self,
        session: Session,
        files: FileStore,
        omit: tuple[BrowserPart, ...],
        options: ScreenshotOptions,
        timeout_s: float,
    ) -> None:
        self._session = session
        self._tab: Tab = session.tab
        self._page: Page = session.tab.page
        self._files = files
        self._omit = frozenset(omit)
        self._options = options
        self._timeout_s = timeout_s
        self.seen = Seen()

    async def look(self) -> Seen:
        """Whatever the page does, this ends in time."""
        if self._tab.problem == UNRESPONSIVE and await answers(self._page):
            self._tab.problem = None  # it was busy, and is done
        hindrance = self._tab.problem or await self._coming()
        if hindrance is not None:
            self.seen.missing |= {part: hindrance for part in _LOOKS if self._wants(part)}
            return self.seen
        began = time.monotonic()
        for _ in range(TRIES - 1):
            if await self._undisturbed():
                break
            self.seen = Seen()
        else:
            await self._parts()
        self._session.sweep(self._tab)
        if self.seen.timings is not None:
            spent = round(time.monotonic() - began, 4)
            self.seen.timings = self.seen.timings.model_copy(update={"observing": spent})
        return self.seen

    async def _coming(self) -> str | None:
        """Chromium says nothing of a page that goes elsewhere until an answer comes from there."""
        url = self._session.arrivals.coming(self._page)
        if url is None or await _title_of(self._page) != cut(_STALLED.format(url), limits.NAME):
            return None
        self._tab.loading = True
        return cut(f"no answer has come yet from {url}, where the page goes to", limits.ENTRY)

    async def _undisturbed(self) -> bool:
        """False if another document came meanwhile: no part would be of it, and some would hang."""
        replaced = asyncio.Event()

        def replace(_: object) -> None:
            replaced.set()

        self._page.on("domcontentloaded", replace)
        looking = asyncio.ensure_future(self._parts())
        coming = asyncio.ensure_future(replaced.wait())
        try:
            await asyncio.wait((looking, coming), return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
            return looking.done()
        finally:
            self._page.remove_listener("domcontentloaded", replace)
            for task in (looking, coming):
                task.cancel()
            await asyncio.gather(looking, coming, return_exceptions=True)

    async def _parts(self) -> None:
        if self._options.marks:  # they are of the tree
            await self._part("tree", self._tree)
        await asyncio.gather(
            self._title(),
            self._part("text", self._text),
            self._part("screenshot", self._screenshot),
            self._part("tabs", self._titles),
            self._part("timings", self._loading),
            *(() if self._options.marks else (self._part("tree", self._tree),)),
        )
        await self._part("focused", self._focused)
        if self.seen.missing and self._tab.problem is None and not await answers(self._page):
            self._tab.problem = UNRESPONSIVE

    def _wants(self, part: BrowserPart) -> bool:
        return part not in self._omit

    async def _part(self, part: BrowserPart, look: Callable[[], Awaitable[None]]) -> None:
        if not self._wants(part) or self._tab.problem is not None:
            return
        try:
            await self._in_time(look())
        except TimeoutError:
            self.seen.missing[part] = f"it took longer than {self._timeout_s:g} s"
        except Exception as problem:
            self.seen.missing[part] = cut(plain_message(problem), limits.ENTRY)

    async def _in_time(self, looking: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await looking

    async def _title(self) -> None:
        """What does not even answer this hangs."""
        try:
            self.seen.title = cut(await self._in_time(self._page.title()), limits.TITLE)
        except TimeoutError:
            self._tab.problem = UNRESPONSIVE
        except Exception as problem:
            self.seen.title = ""
            if self._tab.problem is None and self._page.is_closed():
                self._tab.problem = cut(plain_message(problem), limits.ENTRY)

    async def _tree(self) -> None:
        found = await self._page.aria_snapshot(mode="ai", timeout=self._timeout_s * 1000)
        self._tab.unswept += len(found)
        self.seen.tree, self.seen.tree_path = self._bounded("tree", found)

    async def _text(self) -> None:
        frames = self._page.frames[: limits.FRAMES]
        found = await asyncio.gather(*map(_text_of, frames))
        if found[0] is None:
            self.seen.missing["text"] = "the page's script is in the way of it"
        whole = "\n".join(text for text in found if text)
        self.seen.text, self.seen.text_path = self._bounded("text", whole)

    def _bounded(self, part: BrowserPart, said: str) -> tuple[str, str | None]:
        text = clean(said[: limits.WHOLE_TEXT])
        if len(text) <= limits.TEXT:
            return text, None
        self.seen.truncated.append(part)
        try:
            path = self._files.keep(f"{part}.txt", text.encode())
        except OSError as problem:
            self.seen.missing[part] = f"all of it could not be written: {problem}"
            return text[: limits.TEXT], None
        return text[: limits.TEXT], path

    async def _focused(self) -> None:
        found = await self._page.evaluate(_FOCUSED)
        active = list(_ACTIVE.finditer(self.seen.tree))
        if not isinstance(found, dict):
            return
        role, name, element = active[-1].groups() if active else (None, None, None)
        self.seen.focused = FocusedElement(
            element=element,
            tag=cut(found.get("tag"), limits.NAME),
            role=role or _text_or_none(found.get("role")),
            name=cut(name or found.get("name") or "", limits.NAME),
        )

    async def _titles(self) -> None:
        tabs = [tab for tab in self._session.tabs.all() if tab.problem is None]
        found = await asyncio.gather(*(_title_of(tab.page) for tab in tabs))
        self.seen.titles = {tab.number: one for tab, one in zip(tabs, found, strict=True)}

    async def _loading(self) -> None:
        found = await self._page.evaluate(_LOADING)
        times = [_seconds(value) for value in found] if isinstance(found, list) else []
        response, content, load = times if len(times) == 3 else (None, None, None)
        self.seen.timings = BrowserTimings(
            total=0, response=response, content_loaded=content, loaded=load
        )

    async def _clip(self) -> FloatRect:
        """How much of a full page there is a picture of. A page that lies harms its own only."""
        found = await self._page.evaluate(_WIDTH)
        shown = self._page.viewport_size or {"width": 1280, "height": 720}
        width = max(_side(found), shown["width"])
        height = min(limits.PICTURE_SIDE, limits.PICTURE // width)
        return {"x": 0, "y": 0, "width": width, "height": height}

    async def _screenshot(self) -> None:
        options = self._options
        clip = await self._clip() if options.full_page else None
        async with marked(self._page, self.seen.tree if options.marks else "") as names:
            data = await self._page.screenshot(
                type=options.format,
                full_page=options.full_page,
                clip=clip,
                quality=options.quality if options.format == "jpeg" else None,
                timeout=self._timeout_s * 1000,
            )
        width, height = size_of(data)
        if not data:
            raise ValueError("Chromium gave no picture")
        if clip is not None and (width >= limits.PICTURE_SIDE or height >= clip["height"]):
            self.seen.truncated.append("screenshot")
        self.seen.screenshot = BrowserScreenshot(
            format=options.format,
            path=self._files.keep(f"screenshot.{options.format}", data),
            size=len(data),
            width=width,
            height=height,
            full_page=options.full_page,
            data=data if len(data) <= options.inline_bytes else None,
            marked=names,
        )


def _side(value: object) -> float:
    sane = value if isinstance(value, int | float) and value >= 1 else 1
    return float(min(sane, limits.PICTURE_SIDE))


async def _text_of(frame: Frame) -> str | None:
    """None of a frame that has gone meanwhile, or whose script stands in the way."""
    try:
        found = await frame.evaluate(_TEXT, limits.WHOLE_TEXT)
        if isinstance(found, str):
            return found
    except Exception:
        found = None
    try:  # where none of the page's own script is in the way
        return await frame.inner_text("body", timeout=FALLBACK_S * 1000)
    except Exception:
        return None


async def _title_of(page: Page) -> str:
    try:
        async with asyncio.timeout(1.0):
            return cut(await page.title(), limits.NAME)
    except Exception:  # another tab may hang: it keeps its address
        return ""


def _seconds(value: Any) -> float | None:
    if isinstance(value, int | float) and 0 < value < 1e9:
        return round(value / 1000, 4)
    return None


def _text_or_none(value: Any) -> str | None:
    return cut(value, limits.NAME) if isinstance(value, str) else None
