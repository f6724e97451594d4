"""The plugin in this process: no client, no sandbox, a real Chromium."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tether_plugins.browser.config import BrowserConfig
from tether_plugins.browser.plugin import Browser
from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.plugin.base import HANDLES
from tether_runtime_client.protocol.browser import (
    BrowseInteractiveAction,
    BrowserOutputObservation,
    BrowseURLAction,
)


class Reader:
    """Short names for tests. One `at` another context is of the same browser."""

    def __init__(self, plugin: Browser, site: str, context: str = "default") -> None:
        self.plugin = plugin
        self.site = site
        self.context = context

    def at(self, context: str) -> Reader:
        return Reader(self.plugin, self.site, context)

    async def go(self, path: str, **fields: Any) -> BrowserOutputObservation:
        """A page of the site, or any other."""
        url = self.site + path if path.startswith("/") else path
        return await self.run(BrowseURLAction(url=url, context=self.context, **fields))

    async def do(self, *steps: dict[str, Any], **fields: Any) -> BrowserOutputObservation:
        """Some steps, or a look."""
        fields = {"step_timeout_s": 2, "context": self.context, **fields}
        return await self.run(BrowseInteractiveAction.model_validate({"steps": steps, **fields}))

    async def run(self, action: Any) -> Any:
        """Any action. Nothing of its context is used."""
        for name in dir(type(self.plugin)):
            method = getattr(self.plugin, name)
            if getattr(method, HANDLES, None) is type(action):
                return await method(action, None)
        raise AssertionError(f"nothing handles {action}")


@asynccontextmanager
async def reader(folder: Path, site: str, **config: Any) -> AsyncIterator[Reader]:
    """A plugin that has been started, and ends with the block."""
    for name in ("state", "workdir", "plugins"):
        (folder / name).mkdir(exist_ok=True)
    plugin = Browser.__new__(Browser)
    fields = {"observe_timeout_s": 20, "settle_s": 2, "download_wait_s": 1, **config}
    plugin.config = BrowserConfig.model_validate(fields)
    plugin.places = PluginPlaces(
        prefix=None,
        state=folder / "state",
        workdir=folder / "workdir",
        plugins=folder / "plugins",
        skills=folder / "skills",
    )
    plugin.__init__()  # type: ignore[misc]
    await plugin.start()
    try:
        yield Reader(plugin, site)
    finally:
        await plugin.stop()


def children(pid: int) -> Iterator[int]:
    """A process's descendants, the parents first."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from children(int(child))


def process(page: Reader, words: str) -> int:
    """The first of its processes whose command line has these words."""
    home = f"HOME={page.plugin.places.state}/home".encode()
    for pid in children(os.getpid()):
        place = Path(f"/proc/{pid}")
        is_its = home in (place / "environ").read_bytes().split(b"\0")
        command = (place / "cmdline").read_text()
        if is_its and words in command and not command.startswith("/bin/sh"):  # Debian's wrapper
            return pid
    raise AssertionError(f"no process {words}")
