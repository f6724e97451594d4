"""What pages cost apart from time: bytes on the wire, memory by process, the size of the layer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from tether_image_builder import build_image
from tether_runtime_client.protocol.frames import EventFrame, ObservationFrame
from tether_server import (
    BrowseInteractiveAction,
    BrowserCloseAction,
    BrowserPart,
    BrowseURLAction,
    EventStreamRuntime,
    ScreenshotOptions,
)
from tether_server.submissions import Submissions

from .plan import Plan
from .processes import memory, sandbox_pids
from .report import Aim, Row

PARTS: tuple[BrowserPart, ...] = get_args(BrowserPart)
BY_PATH, INLINE = ScreenshotOptions(inline_bytes=0), ScreenshotOptions(inline_bytes=2**21)
NOTHING = Aim(0, of="value")


async def wire_rows(runtime: EventStreamRuntime, address: str) -> list[Row]:
    """The frames that come of one look at a page: with no part, with each alone, and with all.

    A screenshot is in its frame as base64, or is fetched as bytes from the file that it names.
    """
    await runtime.run(BrowseURLAction(url=address, omit=PARTS))
    alone = {part: await _frames(runtime, {part}, BY_PATH) for part in PARTS}
    bare = await _frames(runtime, set(), BY_PATH)
    picture = (await runtime.run(BrowseInteractiveAction(screenshot=BY_PATH))).screenshot
    assert picture is not None
    inline = await _frames(runtime, {"screenshot"}, INLINE) - alone["screenshot"]
    return [
        _bytes_row("frames: no part", bare),
        *(_bytes_row(f"frames: {part}", size - bare) for part, size in alone.items()),
        _bytes_row("frames: all parts", await _frames(runtime, set(PARTS), BY_PATH)),
        _bytes_row("a screenshot as bytes, by its path", picture.size),
        _bytes_row("a screenshot as base64, in its frame", inline, picture.size),
    ]


async def _frames(
    runtime: EventStreamRuntime, parts: set[BrowserPart], screenshot: ScreenshotOptions
) -> int:
    """Bytes of the JSON that the client sends for one action."""
    omit = tuple(part for part in PARTS if part not in parts)
    with _counted() as sizes:
        await runtime.run(BrowseInteractiveAction(omit=omit, screenshot=screenshot))
    return sum(sizes)


@contextmanager
def _counted() -> Iterator[list[int]]:
    sizes: list[int] = []
    store = Submissions.on_frame

    def count(self: Submissions, frame: EventFrame | ObservationFrame, raw: bytes) -> None:
        sizes.append(len(raw))
        store(self, frame, raw)

    Submissions.on_frame = count  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        Submissions.on_frame = store  # type: ignore[method-assign]


def _bytes_row(name: str, size: int, beside: int | None = None) -> Row:
    return Row(name, max(0, size) / 1e3, "kB", ratio=size / beside if beside else None)


async def memory_rows(
    backend: str, runtime: EventStreamRuntime, address: str, plan: Plan
) -> list[Row]:
    """Before the first action, with a page shown, after many, and with the context closed."""
    settle_s, loads = plan.count(2, 0), plan.count(100, 2)

    async def after(action: BrowseURLAction | BrowserCloseAction) -> dict[str, float]:
        await runtime.run(action)
        await asyncio.sleep(settle_s)
        return await _by_process(backend, runtime)

    unused = await _by_process(backend, runtime)
    shown = await after(BrowseURLAction(url=address))
    for _ in range(loads - 1):
        await runtime.run(BrowseURLAction(url=address))
    later = await after(BrowseURLAction(url=address))
    closed = await after(BrowserCloseAction())
    label = f"{backend}, PSS"
    return [
        Row(f"{label}: unused", sum(unused.values()), "MB", aim=NOTHING),
        *(Row(f"{label}: a page: {name}", size, "MB") for name, size in shown.items()),
        Row(f"{label}: a page, in all", sum(shown.values()), "MB"),
        Row(f"{label}: {loads} pages later, in all", sum(later.values()), "MB"),
        Row(f"{label}: the context closed, in all", sum(closed.values()), "MB"),
    ]


async def _by_process(backend: str, runtime: EventStreamRuntime) -> dict[str, float]:
    """Megabytes of the plugin's process, of what drives the browser, and of the browser's."""
    client = (await sandbox_pids(backend, runtime))["client"]
    found: dict[str, float] = defaultdict(float)
    for plugin in _children(client):
        if b"plugin_process" not in _command(plugin):
            continue
        found["the plugin's process"] += _pss(plugin)
        for driver in _children(plugin):
            found["Playwright's driver"] += _pss(driver)
            for process in _descendants(driver):
                found["Chromium"] += _pss(process)
    return found


def _pss(pid: int) -> float:
    """Nothing of one that ends just then, as a closed page's does."""
    try:
        return memory(pid).get("Pss", 0.0)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _children(pid: int) -> list[int]:
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _descendants(pid: int) -> list[int]:
    children = _children(pid)
    return [*children, *(below for child in children for below in _descendants(child))]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def layer_rows(image: str) -> list[Row]:
    """What the plugin adds to an image, as its engine counts it."""
    result = await asyncio.to_thread(build_image, image, plugins=["browser"])
    [layer] = result.plugins
    return [Row("layer of the plugin", layer.bytes / 1e6, "MB")]
