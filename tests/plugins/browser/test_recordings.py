"""Video and trace of a context: what is in the files, and what is left where a recording ends."""

from __future__ import annotations

import base64
import json
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tether_plugins.browser.files import FileStore
from tether_runtime_client.protocol.browser import (
    BrowserCloseAction,
    BrowserContextObservation,
    BrowserOpenAction,
)

from .in_process import Reader, process, reader

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

LITTLE = ("tree", "text", "screenshot", "console", "failed_requests", "downloads", "timings")
RED = "data:text/html,<body style='background:red'>"
BLUE = "data:text/html,<body style='background:blue'>"
MOVING = (
    "setInterval(() => { document.body.innerHTML ="
    " Array.from({length: 3000}, () => Math.random()).join(' ') }, 20); 1"
)
PLAYED = """async data => {
  const video = document.createElement('video');
  video.src = 'data:video/webm;base64,' + data;
  await new Promise(done => video.onloadedmetadata = done);
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const seen = [];
  for (let at = 0; at < video.duration; at += video.duration / 25) {
    await new Promise(done => { video.onseeked = done; video.currentTime = at; });
    canvas.drawImage(video, 0, 0, 1, 1);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    const name = red + green + blue < 400 && (red > 128 ? 'red' : blue > 128 ? 'blue' : null);
    if (name && seen.at(-1) !== name) seen.push(name);
  }
  return [video.videoWidth, video.videoHeight, video.duration, ...seen];
}"""


async def opened(page: Reader, **settings: Any) -> BrowserContextObservation:
    action = BrowserOpenAction.model_validate({"context": page.context, "settings": settings})
    seen = await page.run(action)
    assert isinstance(seen, BrowserContextObservation)
    return seen


async def played(page: Reader, path: str | None) -> list[Any]:
    """Width, height and seconds of a video, and which colours it shows in turn."""
    assert path is not None
    given = json.dumps(base64.b64encode(Path(path).read_bytes()).decode())
    step = {"step": "evaluate", "expression": f"({PLAYED})({given})"}
    [value] = (await page.at("player").do(step, omit=LITTLE, step_timeout_s=10)).results
    assert isinstance(value, list)
    return value


async def test_a_video_follows_the_tab_that_is_shown(browser: Reader) -> None:
    page = browser.at("filmed")
    made = await opened(page, video=True, trace=True, viewport={"width": 1600, "height": 900})
    assert made.video_path is None
    await page.go(RED, omit=LITTLE)
    seen = await page.do(
        {"step": "wait_for", "expression": "performance.now() > 700"},
        {"step": "new_tab", "url": BLUE},
        {"step": "wait_for", "expression": "performance.now() > 700"},
        omit=LITTLE,
    )
    assert len(seen.tabs) == 2  # what encodes it is none of them
    again = await opened(page)
    assert again.recording_problem is None
    assert again.trace_path is not None
    with zipfile.ZipFile(again.trace_path) as trace:
        assert "trace.trace" in trace.namelist()
    width, height, seconds, *colours = await played(page, again.video_path)
    assert (width, height) == (1280, 720)
    assert 1 < seconds < 60
    assert colours == ["red", "blue"]
    closed = await page.run(BrowserCloseAction(context="filmed"))
    assert (closed.video_path, closed.trace_path) == (None, None)


async def test_what_there_is_when_a_recording_cannot_go_on(
    chromium: str, site: str, tmp_path: Path
) -> None:
    async with reader(tmp_path, site, video_bytes=20_000) as page:
        await opened(page, video=True)
        await page.go(RED, omit=LITTLE)
        moved = {"step": "evaluate", "expression": MOVING}
        wait = {"step": "wait_for", "expression": "performance.now() > 1500"}
        await page.do(moved, wait, omit=LITTLE)
        closed = await page.run(BrowserCloseAction())
        assert "the video ended early: it took all of its 20,000 bytes" in str(
            closed.recording_problem
        )
        assert Path(closed.video_path).stat().st_size < 21_000
        assert (await played(page, closed.video_path))[:2] == [1280, 720]

        await opened(page, video=True, trace=True)
        await page.go(BLUE, omit=LITTLE)
        await page.do({"step": "wait_for", "expression": "performance.now() > 700"}, omit=LITTLE)
        os.kill(process(page, "--remote-debugging-pipe"), signal.SIGKILL)
        while (seen := await page.at("watch").do(omit=LITTLE)).browser.starts == 1:
            pass  # its end may not have been seen yet
        seen = await page.do(omit=LITTLE)
        assert seen.browser.state_lost is not None
        assert (await played(page, seen.browser.video_path))[3:] == ["blue"]
        assert (await page.do(omit=LITTLE)).browser.video_path is None
        again = await page.run(BrowserCloseAction())
        assert again.video_path not in (None, seen.browser.video_path)  # it went on in a new one


async def test_files_outlive_their_plugin_and_count(tmp_path: Path) -> None:
    path = Path(FileStore(tmp_path, 30).keep("a.txt", bytes(10)))
    (tmp_path / "00009-link").symlink_to("/etc/passwd")
    files = FileStore(tmp_path, 30)
    assert path.exists()
    other = Path(files.keep("b.txt", bytes(20)))
    assert path.exists()
    assert other.name == "00002-b.txt"
    files.keep("c.txt", bytes(5))
    assert not path.exists()
