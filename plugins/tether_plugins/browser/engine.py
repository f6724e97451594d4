"""The browser's process and what drives it: started by the first use, and again after its end."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.protocol.browser import BrowserInfo
from tether_runtime_client.protocol.errors import BrowserNotStarted

from . import limits, processes
from .config import BrowserConfig
from .failures import plain_message
from .place import FOLDERS, Place, driver_environment, find_place
from .sidecar import connect, silent

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

CLOSE_S = 5.0
LOOK_S = 20.0
"""How long a browser may be silent: it has much to say where a page floods it."""


class Engine:
    """One browser. `starts` counts its lives."""

    def __init__(self, config: BrowserConfig, places: PluginPlaces) -> None:
        self._config = config
        self._places = places
        self._lock = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._place: Place | None = None
        self._lost = False
        self._silent = False
        self.starts = 0
        self.incoming = places.state / "incoming"

    async def ready(self) -> Browser:
        """The browser, which runs; raises `BrowserNotStarted`."""
        async with self._lock:
            if self._browser is not None and self.runs:
                return self._browser
            await self._end()
            try:
                async with asyncio.timeout(self._config.start_timeout_s):
                    self._browser = await self._start()
            except Exception as problem:
                await self._end()
                raise _not_started(problem, self._config) from None
            except BaseException:
                await self._end()
                raise
            self.starts += 1
            return self._browser

    @property
    def runs(self) -> bool:
        """Whether the browser that was started last is still there."""
        return self._browser is not None and self._browser.is_connected() and not self._lost

    @property
    def end(self) -> str:
        """What became of one that runs no more."""
        return "the browser did not answer any more" if self._silent else "the browser ended"

    async def look(self) -> None:
        """Find out whether it is there: Playwright does not tell of its driver's end."""
        if self._browser is None or not self.runs:
            return
        try:
            async with asyncio.timeout(LOOK_S):
                await (await self._browser.new_browser_cdp_session()).detach()
        except Exception as problem:
            self._lost, self._silent = True, isinstance(problem, TimeoutError)

    def info(self) -> BrowserInfo:
        """Of the browser that was started last."""
        version = self._browser.version if self._browser is not None else ""
        if self._place is None:
            where = self._config.cdp_url or ""
            said = "unknown: it was not started by the plugin"
            return BrowserInfo(
                version=version,
                executable=where,
                sandbox=said,
                starts=self.starts,
            )
        return BrowserInfo(
            version=version,
            executable=self._place.executable,
            sandbox=self._place.confinement,
            flags=(*self._place.flags, *self._config.arguments),
            starts=self.starts,
        )

    async def close(self) -> None:
        """End it. Twice is safe."""
        async with self._lock:
            await self._end()

    async def _start(self) -> Browser:
        place = None
        if self._config.cdp_url is None:
            place = await asyncio.to_thread(
                find_place, self._config, self._places, dict(os.environ)
            )
        self._place = place
        playwright = await self._drive()
        if place is not None and self._config.sidecar_url is not None:
            limit_s = self._config.start_timeout_s
            return await connect(
                playwright, self._config.sidecar_url, place, self._config.arguments, limit_s
            )
        if place is None:
            return await playwright.chromium.connect_over_cdp(
                self._config.cdp_url or "", timeout=self._config.start_timeout_s * 1000
            )
        downloads = await asyncio.to_thread(self._empty, self.incoming.name)
        return await playwright.chromium.launch(
            executable_path=place.executable,
            args=[*place.flags, *self._config.arguments],
            chromium_sandbox=place.confined,
            env=dict(place.environment),
            downloads_path=downloads,
            timeout=self._config.start_timeout_s * 1000,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    def _empty(self, name: str) -> Path:
        """A folder without what an earlier browser left in it when it was killed."""
        folder = self._places.state / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    async def _drive(self) -> Playwright:
        """Playwright gives its driver this process's variables, whatever they are just then."""
        from playwright.async_api import async_playwright

        await asyncio.to_thread(self._empty, FOLDERS["TMPDIR"])
        with _variables(driver_environment(self._places, os.environ)):
            self._playwright = await async_playwright().start()
        return self._playwright

    async def _end(self) -> None:
        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        lost, self._lost, self._silent = self._lost, False, False
        running = processes.of_browser(self._places.state) if playwright is not None else []
        closings = (browser and not lost and browser.close, playwright and playwright.stop)
        for closing in closings:
            if closing:
                with suppress(Exception):  # it may be dead, which is what is wanted
                    async with asyncio.timeout(CLOSE_S):
                        await closing()
        processes.kill(running, self._places.state)


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _not_started(problem: Exception, config: BrowserConfig) -> BrowserNotStarted:
    if isinstance(problem, BrowserNotStarted):
        return problem
    if isinstance(problem, TimeoutError):
        if config.sidecar_url is not None:
            return silent(config.sidecar_url, config.start_timeout_s)
        return BrowserNotStarted(f"the browser did not come up within {config.start_timeout_s:g} s")
    said = limits.cut(plain_message(problem), limits.MESSAGE)
    return BrowserNotStarted(f"the browser did not come up: {said}")
