"""Contexts by name: what they keep apart, how they are made, and what is saved of them."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol.browser import (
    BrowserCloseAction,
    BrowserContextObservation,
    BrowserOpenAction,
    BrowserSaveAction,
)
from tether_runtime_client.protocol.errors import (
    BrowserError,
    BrowserLimit,
    BrowserNotStarted,
    NoSuchContext,
)

from .in_process import Reader, reader

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

FEW = ("screenshot", "tree", "console", "timings", "focused", "downloads")


async def opened(page: Reader, **fields: Any) -> BrowserContextObservation:
    action = BrowserOpenAction.model_validate({"context": page.context, **fields})
    seen = await page.run(action)
    assert isinstance(seen, BrowserContextObservation)
    return seen


async def text_of(page: Reader, path: str) -> str:
    return (await page.go(path, omit=FEW)).text.strip()


async def test_contexts_know_nothing_of_each_other_and_can_be_saved(
    browser: Reader, tmp_path: Path
) -> None:
    one, other = browser.at("one"), browser.at("other")
    await one.go("/cookie", omit=FEW)
    assert await text_of(one, "/shown") == "seen=1 yes"
    assert await text_of(other, "/shown") == "null"
    path = tmp_path / "state.json"
    saved = await one.run(BrowserSaveAction(context="one", path=str(path)))
    assert (saved.storage_path, saved.is_open) == (str(path), True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["cookies"][0]["name"] == "seen"
    await opened(other, storage=str(path))
    assert await text_of(other, "/shown") == "seen=1 yes"
    await opened(one)
    assert await text_of(one, "/shown") == "null"
    for name in ("one", "other"):
        closed = await one.run(BrowserCloseAction(context=name))
        assert not closed.is_open
    with pytest.raises(NoSuchContext):
        await one.run(BrowserSaveAction(context="one", path=str(path)))
    path.write_text("no state")
    with pytest.raises(BrowserError, match="the context 'other' cannot be opened"):
        await opened(other, storage=str(path))
    assert await text_of(other, "/shown") == "null"
    with pytest.raises(BrowserError, match="cannot be saved"):
        await other.run(BrowserSaveAction(context="other", path="/absent/state.json"))


async def test_a_context_is_made_as_it_is_said(browser: Reader) -> None:
    page = browser.at("made")
    settings: dict[str, Any] = {
        "viewport": {"width": 400, "height": 300},
        "locale": "de-DE",
        "timezone": "Asia/Tokyo",
        "user_agent": "Nobody/1",
        "block": ["**/*.png"],
        "proxy": {"server": browser.site, "bypass": "127.0.0.1"},
        "trace": True,
    }
    made = await opened(page, settings=settings)
    assert made.settings.timezone == "Asia/Tokyo"
    seen = await page.go("/place", omit=[part for part in FEW if part != "screenshot"])
    assert json.loads(seen.text) == ["de-DE", "Asia/Tokyo", "Nobody/1", 400, 300]
    assert seen.screenshot is not None
    assert (seen.screenshot.width, seen.screenshot.height) == (400, 300)
    [blocked] = (await page.go("/blocked")).failed_requests
    assert (blocked.error or "").startswith("net::ERR_BLOCKED_BY_CLIENT")
    seen = await page.go("http://nowhere.invalid/page")  # the site serves as a proxy badly
    assert (seen.status, seen.text) == (404, "nothing is here")
    closed = await page.run(BrowserCloseAction(context="made"))
    assert closed.trace_path is not None
    with zipfile.ZipFile(closed.trace_path) as trace:
        assert "trace.trace" in trace.namelist()


async def test_there_may_be_so_many(chromium: str, site: str, tmp_path: Path) -> None:
    async with reader(tmp_path, site, max_contexts=2, max_tabs=2) as page:
        await page.at("a").do(omit=FEW)
        await page.at("b").do({"step": "new_tab"}, omit=FEW)
        with pytest.raises(BrowserLimit):
            await page.at("c").do(omit=FEW)
        with pytest.raises(BrowserLimit):
            await page.at("b").do({"step": "new_tab"}, omit=FEW)
        await page.run(BrowserCloseAction(context="a"))
        await page.at("c").do(omit=FEW)


async def test_a_browser_that_runs_elsewhere(chromium: str, site: str, tmp_path: Path) -> None:
    command = [chromium, "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}"]
    other = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    assert other.stderr is not None
    try:
        address = next(line.split("ws://")[1] for line in other.stderr if "ws://" in line)
        url = f"http://{address.split('/')[0]}"
        for _ in range(2):  # what ran before runs on
            async with reader(tmp_path, site, cdp_url=url) as page:
                seen = await page.go("/")
                assert (seen.title, seen.browser.executable) == ("Home", url)
                assert seen.screenshot is not None
    finally:
        subprocess.run(["kill", "--", f"-{other.pid}"], check=True)
        other.wait()
        other.stderr.close()
    async with reader(tmp_path, site, cdp_url="http://127.0.0.1:1") as page:
        with pytest.raises(BrowserNotStarted, match="ECONNREFUSED"):
            await page.go("/")


async def test_the_variables_of_the_process_stay_as_they_were(browser: Reader) -> None:
    """The driver and Chromium have others, which what else runs in the process has not."""
    await browser.go("about:blank")
    own = str(browser.plugin.places.state)
    assert not [name for name, value in os.environ.items() if value.startswith(own)]
