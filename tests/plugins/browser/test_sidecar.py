"""The browser in a sidecar: all that it does, from another file system and another container."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tether_server import (
    BrowseInteractiveAction,
    BrowserCloseAction,
    BrowserLost,
    BrowserOpenAction,
    BrowserOutputObservation,
    BrowserSaveAction,
    BrowseURLAction,
    EventStreamRuntime,
    SidecarLost,
)

from .test_sandbox import visit

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("browser-image"),
]

BUSY = "data:text/html,<title>Busy</title><h1>here</h1>"
UPLOAD = (
    "data:text/html,<input type=file onchange='this.files[0].text()"
    ".then(text => document.title = this.files[0].name + `: ${text}`)'>"
)


async def look(runtime: EventStreamRuntime, *steps: dict[str, Any]) -> BrowserOutputObservation:
    return await runtime.run(BrowseInteractiveAction.model_validate({"steps": steps}))


async def test_everything_from_another_container(busybox: str, tmp_path: Path) -> None:
    viewport = {"width": 400, "height": 300}
    config = {
        "arguments": ["--lang=de"],
        "context": {"viewport": viewport},
        "download_wait_s": 30,
    }
    options: dict[str, Any] = {
        "plugins": {"browser": config},
        "sidecars": {"browser": {"resources": {"mem_limit": "1g"}}},
        "network": "none",
        "user": "1234",
    }
    async with EventStreamRuntime(busybox, **options) as runtime:
        sidecar = f"tether_{runtime.name}.browser"
        assert "chromium" not in processes(sidecar)
        await visit(runtime)
        assert "chromium" in processes(sidecar)
        seen = await runtime.run(BrowseURLAction(url=BUSY))
        assert seen.screenshot is not None
        assert (seen.screenshot.width, seen.screenshot.height) == (400, 300)
        assert "--lang=de" in seen.browser.flags
        assert seen.browser.sandbox == "off: its own container confines it"

        await uploads(runtime)
        await records(runtime, tmp_path)
        await comes_back(runtime, sidecar)


def processes(sidecar: str) -> str:
    command = ["docker", "top", sidecar, "-eo", "pid,comm"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def uploads(runtime: EventStreamRuntime) -> None:
    await runtime.exec(["/bin/sh", "-c", "echo of the sandbox > /tmp/note.txt"])
    await runtime.run(BrowseURLAction(url=UPLOAD))
    step = {"step": "upload", "css": "input", "paths": ["/tmp/note.txt"]}
    wait = {"step": "wait_for", "expression": "document.title"}
    assert (await look(runtime, step, wait)).title == "note.txt: of the sandbox"


async def records(runtime: EventStreamRuntime, tmp_path: Path) -> None:
    settings = {"trace": True, "video": True}
    await runtime.run(BrowserOpenAction.model_validate({"context": "kept", "settings": settings}))
    await runtime.run(BrowseURLAction(url=BUSY, context="kept"))
    saved = await runtime.run(BrowserSaveAction(context="kept", path="/tmp/kept.json"))
    assert saved.storage_path == "/tmp/kept.json"
    done = await runtime.run(BrowserCloseAction(context="kept"))
    assert done.trace_path is not None
    assert done.video_path is not None
    await runtime.download(done.trace_path, tmp_path / "trace.zip")
    await runtime.download(done.video_path, tmp_path / "video.webm")
    assert "trace.trace" in zipfile.ZipFile(tmp_path / "trace.zip").namelist()
    assert (tmp_path / "video.webm").read_bytes().startswith(b"\x1a\x45\xdf\xa3")


async def comes_back(runtime: EventStreamRuntime, sidecar: str) -> None:
    """The browser alone, then all of the sidecar."""
    for ended in ("browser", "sidecar"):
        await asyncio.to_thread(kill, sidecar, only_browser=ended == "browser")
        try:
            seen = await runtime.run(BrowseURLAction(url=BUSY))
        except BrowserLost:  # it was just about to be noticed
            seen = await runtime.run(BrowseURLAction(url=BUSY))
        assert seen.title == "Busy"
        assert seen.browser.state_lost is not None
    [lost] = [event for event in runtime.events.since(0) if isinstance(event, SidecarLost)]
    assert lost.cause == "killed"


def kill(sidecar: str, *, only_browser: bool) -> None:
    """And wait until it is dead."""
    if not only_browser:
        subprocess.run(["docker", "kill", sidecar], check=True, capture_output=True)
        return
    rows = [row.split() for row in processes(sidecar).splitlines()]
    first = min(int(row[0]) for row in rows if row[1].startswith("chromium"))
    os.kill(first, signal.SIGKILL)
