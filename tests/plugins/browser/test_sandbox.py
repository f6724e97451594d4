"""The browser in a sandbox: as a runtime has it, and in images that bring nothing for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tether_server import (
    BrowseInteractiveAction,
    BrowserOutputObservation,
    BrowseURLAction,
    EventStreamRuntime,
)

PAGE = (
    "data:text/html;charset=utf-8,<title>Here</title><h1>Hé 中文</h1><button>Go</button><script>"
    "console.log(!!document.createElement('canvas').getContext('webgl'))</script>"
)


async def test_a_page_through_a_runtime(chromium: str, site: str) -> None:
    async with EventStreamRuntime(None, backend="local", plugins=["browser"]) as runtime:
        [idle] = await runtime.plugins()
        assert idle.state == "idle"  # nothing was started with the sandbox
        seen = await runtime.run(BrowseURLAction(url=f"{site}/form"))
        assert isinstance(seen, BrowserOutputObservation)
        assert (seen.title, seen.status) == ("Form", 200)
        assert seen.screenshot is not None
        assert seen.screenshot.data == (await runtime.exec(["cat", seen.screenshot.path])).stdout
        found = re.search(r'textbox "Name" \[ref=(\w+)\]', seen.tree)
        assert found is not None
        steps = [
            {"step": "fill", "element": found[1], "text": "Ada"},
            {"step": "click", "role": "button", "name": "Send"},
        ]
        done = await runtime.run(
            BrowseInteractiveAction.model_validate({"steps": steps, "omit": ["screenshot"]})
        )
        assert "name=Ada" in done.text
        assert done.browser.starts == 1


async def test_a_browser_that_is_not_there_is_said(chromium: str) -> None:
    absent = {"browser": {"executable": "no-such-browser"}}
    async with EventStreamRuntime(None, backend="local", plugins=absent) as runtime:
        with pytest.raises(Exception, match="there is no browser no-such-browser here"):
            await runtime.run(BrowseURLAction(url="about:blank"))


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("browser-image")
@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("busybox", {}),
        ("busybox", {"user": "1234", "inject": "mount"}),
        ("musl", {"user": "1234"}),
        ("debian", {"user": "1234", "env": {"LD_LIBRARY_PATH": "/absent", "HOME": "/absent"}}),
    ],
)
async def test_it_runs_in_any_image(
    base: str, options: dict[str, Any], debian: str, busybox: str
) -> None:
    image = {"debian": debian, "busybox": busybox, "musl": "tether-test/musl:latest"}[base]
    async with EventStreamRuntime(image, plugins=["browser"], **options) as runtime:
        seen = await runtime.run(BrowseURLAction(url=PAGE))
        assert "Hé 中文" in seen.text
        assert [entry.text for entry in seen.console] == ["true"]
        assert seen.screenshot is not None
        assert seen.screenshot.size > 4000
        assert seen.browser.executable.startswith("/opt/tether/plugins/browser/chromium/")
        assert seen.browser.sandbox.startswith("off: ")
        assert "--no-sandbox" in seen.browser.flags
        again = await runtime.run(BrowseInteractiveAction())
        assert (again.title, again.browser.starts) == ("Here", 1)
        assert not Path("/opt/tether/plugins/browser").exists()  # all of it was in there
