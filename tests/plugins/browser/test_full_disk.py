"""A disk that fills up under the browser: what cannot be written is missing, the rest is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.protocol.browser import (
    BrowserCloseAction,
    BrowserOpenAction,
    BrowserSaveAction,
    ContextSettings,
)
from tether_runtime_client.protocol.errors import BrowserError

from ...runtime_client.full_disk import fill, small_disk
from .in_process import Reader, reader

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

CHANGING = "setInterval(() => { document.body.append(Math.random()) }, 20); 1"


async def recorded(page: Reader) -> None:
    """A context that is recorded in both ways, amid its recording."""
    settings = ContextSettings(trace=True, video=True)
    await page.run(BrowserOpenAction(context="recorded", settings=settings))
    await page.at("recorded").go("/")
    await page.at("recorded").do(
        {"step": "evaluate", "expression": CHANGING},
        {"step": "wait_for", "expression": "performance.now() > 500"},
    )


async def test_what_cannot_be_written_is_told(chromium: str, site: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 48) as disk:
        async with reader(disk, site) as page:
            await page.go("/cookie")
            await recorded(page)
            filler = fill(disk)
            seen = await page.go("/large?1150", screenshot={"inline_bytes": 2**20})
            assert (seen.title, seen.screenshot, len(seen.tree)) == ("Large", None, 64 * 1024)
            assert "No space left" in seen.missing["screenshot"]
            assert "No space left" in seen.missing["tree"]
            assert seen.text
            await page.go("/files")
            seen = await page.do({"step": "click", "role": "link", "name": "Get"})
            assert [one.state for one in seen.downloads] == ["failed"]
            assert seen.downloads[0].problem
            with pytest.raises(BrowserError, match="No space left"):
                await page.run(BrowserSaveAction(path=str(disk / "storage.json")))
            wait = {"step": "wait_for", "expression": "performance.now() > 1500"}
            await page.at("recorded").do(wait, omit=("screenshot",))
            closed = await page.run(BrowserCloseAction(context="recorded"))
            assert "there is no trace: " in closed.recording_problem
            assert "the video ended early: " in closed.recording_problem
            assert Path(closed.video_path).stat().st_size > 1000
            assert (await page.at("new").go("/", omit=("screenshot",))).title == "Home"
            filler.unlink()
            seen = await page.go("/form")
            assert (seen.missing, seen.browser.starts, seen.browser.state_lost) == ({}, 1, None)
            assert (await page.go("/shown")).text.strip() == "seen=1 yes"


async def test_a_browser_starts_there(chromium: str, site: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        async with reader(disk, site) as page:
            filler = fill(disk)
            seen = await page.go("/")
            assert (seen.title, list(seen.missing)) == ("Home", ["screenshot"])
            filler.unlink()
            assert (await page.go("/")).missing == {}
