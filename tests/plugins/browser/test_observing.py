"""What an observation has of a page, and that each part can be left out."""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from tether_plugins.browser import limits
from tether_plugins.browser.pictures import size_of
from tether_runtime_client.protocol.browser import BrowserPart

from .in_process import Reader, children

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

EVERYTHING = get_args(BrowserPart)


@pytest.fixture
async def page(browser: Reader) -> Reader:
    return browser.at("observing")


async def test_a_page_as_it_is(page: Reader) -> None:
    seen = await page.go("/")
    assert (seen.url, seen.title, seen.status) == (f"{page.site}/", "Home", 200)
    assert 'heading "Welcome" [level=1] [ref=' in seen.tree
    assert seen.text.startswith("Welcome\n")
    assert seen.screenshot is not None
    assert (seen.screenshot.width, seen.screenshot.height) == (1280, 720)
    assert seen.screenshot.data == Path(seen.screenshot.path).read_bytes()
    assert seen.timings is not None
    assert seen.timings.loaded is not None
    assert 0 < seen.timings.loaded < seen.timings.total
    assert "HeadlessChrome" not in seen.browser.version
    assert "--disable-dev-shm-usage" in seen.browser.flags
    seen = await page.do({"step": "press", "key": "Tab"})
    assert seen.focused is not None
    assert (seen.focused.role, seen.focused.name, seen.focused.tag) == ("link", "Form", "a")
    assert f"[ref={seen.focused.element}]" in seen.tree
    assert (await page.go("/absent")).status == 404


async def test_each_part_can_be_left_out(page: Reader) -> None:
    await page.go("/noise", omit=EVERYTHING)
    seen = await page.do(omit=EVERYTHING)
    empty = {part: getattr(seen, part) for part in EVERYTHING if getattr(seen, part)}
    assert empty == {}
    assert (seen.title, seen.missing, seen.omitted) == ("Noise", {}, {})
    for part in EVERYTHING:
        others = [other for other in EVERYTHING if other != part]
        seen = await page.do(omit=others)
        assert not any(getattr(seen, other) for other in others)
    assert seen.timings is not None


async def test_screenshots(page: Reader) -> None:
    await page.go("/large", omit=EVERYTHING)
    omit = [part for part in EVERYTHING if part not in ("screenshot", "tree")]
    jpeg = (await page.do(omit=omit, screenshot={"format": "jpeg", "quality": 30})).screenshot
    assert jpeg is not None
    assert (jpeg.width, jpeg.height) == size_of(Path(jpeg.path).read_bytes()) == (1280, 720)
    assert Path(jpeg.path).read_bytes().startswith(b"\xff\xd8")
    await page.go("/form", omit=EVERYTHING)
    options = {"marks": True, "full_page": True, "inline_bytes": 0}
    seen = await page.do(omit=omit, screenshot=options)
    assert seen.screenshot is not None
    assert seen.screenshot.data is None
    assert seen.screenshot.size == Path(seen.screenshot.path).stat().st_size
    assert len(seen.screenshot.marked) >= 6
    assert all(f"[ref={one}]" in seen.tree for one in seen.screenshot.marked)
    after = await page.do({"step": "evaluate", "expression": "document.body.nextSibling"})
    assert after.results == (None,)  # nothing of the marks is left


async def test_what_happened_is_told_once(page: Reader) -> None:
    await page.go("/noise")
    seen = await page.do({"step": "wait_for", "load": "networkidle"})
    first = await page.go("/noise", wait_until="networkidle")
    kinds = {entry.kind for entry in first.console}
    assert {"log", "error", "exception"} <= kinds
    assert any("thrown" in entry.text for entry in first.console)
    failed = {(request.url, request.status, request.error) for request in first.failed_requests}
    assert (f"{page.site}/absent", 404, None) in failed
    assert ("http://127.0.0.1:1/", None, "net::ERR_UNSAFE_PORT") in failed
    seen = await page.do()
    assert (seen.console, seen.failed_requests) == ((), ())
    seen = await page.do(
        {
            "step": "evaluate",
            "expression": "for (let i = 0; i < 150; i++) console.log('x'.repeat(1e5))",
        }
    )
    assert (len(seen.console), seen.omitted) == (100, {"console": 50})
    assert max(len(entry.text) for entry in seen.console) == 2000


async def test_dialogs_are_answered_at_once(page: Reader) -> None:
    await page.go("/dialogs")
    prompt = {"step": "click", "role": "button", "name": "Prompt"}
    seen = await page.do({"step": "click", "role": "button", "name": "Alert"}, prompt)
    assert [(one.kind, one.message, one.answer) for one in seen.dialogs] == [
        ("alert", "hello", "dismissed"),
        ("prompt", "who?", "dismissed"),
    ]
    seen = await page.do(prompt, accept_dialogs=True, prompt_text="you")
    assert (seen.dialogs[0].answer, seen.dialogs[0].default_value) == ("accepted", "me")
    assert "you" in seen.text


async def test_downloads_are_files_also_where_one_does_not_end(page: Reader) -> None:
    await page.go("/files")
    seen = await page.do({"step": "click", "role": "link", "name": "Get"})
    [got] = seen.downloads
    assert (got.state, got.suggested_name, got.size) == ("done", "a.txt", 19)
    assert got.path is not None
    assert Path(got.path).read_text() == "contents of a file\n"
    assert seen.title == "Files"
    [again] = (await page.go("/file")).downloads
    assert again.state == "done"
    await page.go("/files")
    seen = await page.do({"step": "click", "role": "link", "name": "Endless"})
    [running] = seen.downloads
    assert (running.state, running.path) == ("running", None)
    assert (await page.do()).downloads == ()


async def test_a_large_page_is_cut_and_whole_in_files(page: Reader) -> None:
    seen = await page.go("/large")
    assert seen.truncated == ("tree",)
    assert len(seen.tree) == 64 * 1024
    assert seen.tree_path is not None
    whole = Path(seen.tree_path).read_text()
    assert whole.startswith(seen.tree)
    assert 'button "button 2499"' in whole


@pytest.mark.slow
async def test_a_page_of_thirty_thousand_nodes(page: Reader) -> None:
    began = time.monotonic()
    seen = await page.go("/large?10000")
    assert time.monotonic() - began < 50  # 4.5 s on a quiet machine, 10.7 s on a busy one
    assert most_memory() < 1900  # 371 MiB for the page's process, 191 MiB for the driver's
    assert sorted(seen.truncated) == ["text", "tree"]
    assert (len(seen.tree), len(seen.text)) == (64 * 1024, 64 * 1024)
    assert seen.text_path is not None
    assert "button 9999" in Path(seen.text_path).read_text()
    assert seen.screenshot is not None
    assert len(seen.model_dump_json()) < 400_000


def most_memory() -> int:
    """What the largest process of a browser or a driver ever took, in MiB."""
    peaks = [0]
    for pid in children(os.getpid()):
        with suppress(OSError):  # it has ended meanwhile
            status = Path(f"/proc/{pid}/status").read_text()
            peaks += [int(kib) // 1024 for kib in re.findall(r"VmHWM:\s+(\d+) kB", status)]
    return max(peaks)


async def test_what_trees_leave_is_collected(page: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself Chromium has no reason to for a long time, and takes gigabytes meanwhile."""
    trees = {"omit": [part for part in EVERYTHING if part != "tree"]}
    await page.go("/large?300", **trees)
    session = page.plugin._contexts.slot(page.context).session
    assert session is not None
    watch = await session.context.new_cdp_session(session.tab.page)

    async def garbage() -> int:
        return int((await watch.send("Runtime.getHeapUsage"))["embedderHeapUsedSize"])

    for _ in range(6):
        await page.do(**trees)
    assert not session._tasks
    before = await garbage()
    monkeypatch.setattr(limits, "UNSWEPT", 1000)
    await page.do(**trees)
    await asyncio.gather(*session._tasks)
    assert await garbage() < before / 2
    await watch.detach()
