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
        await visit(runtime)


async def visit(runtime: EventStreamRuntime) -> None:
    """The awkward site, served in the sandbox itself."""
    folder = (await runtime.exec(["/bin/sh", "-c", "cd; cd /tmp; pwd"])).stdout.decode().strip()
    await runtime.upload(Path(__file__).with_name("site.py"), f"{folder}/site.py")
    server = await runtime.spawn(["/opt/tether/bin/python3", f"{folder}/site.py"])
    async with server:
        port = int(await server.stdout.readline())

        async def do(path: str, *steps: dict[str, Any]) -> BrowserOutputObservation:
            await runtime.run(BrowseURLAction(url=f"http://127.0.0.1:{port}{path}"))
            return await runtime.run(BrowseInteractiveAction.model_validate({"steps": steps}))

        go = {"step": "click", "role": "button"}
        seen = await do(
            "/form", {"step": "fill", "css": "[name=name]", "text": "Ada"}, go | {"name": "Send"}
        )
        assert "name=Ada" in seen.text
        seen = await do("/spa", go | {"name": "B"}, {"step": "wait_for", "text": "slow b"})
        assert seen.url.endswith("/spa/b")
        assert (await do("/frames", go | {"name": "Shadow"})).title == "shadow"
        assert (await do("/frames", go | {"name": "Inside", "frame": "iframe"})).title == "inside"
        seen = await do("/endless", {"step": "scroll", "dy": 5000})
        assert "item 45" in seen.text
        [alert] = (await do("/dialogs", go | {"name": "Alert"})).dialogs
        assert alert.message == "hello"
        [got] = (await do("/files", {"step": "click", "role": "link", "name": "Get"})).downloads
        assert got.path is not None
        held = await runtime.exec(
            ["/opt/tether/bin/python3", "-c", f"print(open({got.path!r}).read())"]
        )
        assert held.stdout == b"contents of a file\n\n"
