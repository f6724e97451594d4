"""The browser: beside bare Playwright in the same place, from cold, on the wire, and in memory."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tether_server import (
    BrowserOutputObservation,
    BrowserPart,
    BrowseURLAction,
    EventStreamRuntime,
)

from . import browser_side
from .browser_costs import PARTS, layer_rows, memory_rows, wire_rows
from .plan import Plan
from .report import Aim, Report, Row, time_row

AIM = Aim(1.15)
BARE, AT_ONCE = "bare Playwright", "bare Playwright, both at once"
ALL = "Tether, all parts"
PAGES = {"a form": "", "300 buttons": "300"}
SAME = tuple(part for part in PARTS if part not in ("tree", "screenshot"))
"""Without these there is what the bare script makes: the tree and the screenshot."""

BLOCK = 5
Load = Callable[..., Awaitable[float]]
"""Loads the page at an address, looks at it, and says how many seconds that took."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox with pages in it. `side` begins the command that runs `browser_side` there."""

    runtime: EventStreamRuntime
    pages: str
    side: tuple[str, str]

    async def load(self, address: str, omit: tuple[BrowserPart, ...] = SAME) -> float:
        """By Tether, seen from here."""
        began = time.perf_counter()
        seen = await self.runtime.run(BrowseURLAction(url=address, omit=omit))
        took = time.perf_counter() - began
        assert seen.tree
        assert seen.screenshot is not None
        return took

    async def load_all(self, address: str) -> float:
        """The same, with everything that an observation has."""
        return await self.load(address, ())

    @asynccontextmanager
    async def bare(self, config: str) -> AsyncIterator[Load]:
        """By a script in the sandbox, which takes the time itself."""
        async with await self.runtime.spawn([*self.side, "drive", config], stdin=True) as script:

            async def load(address: str, order: str = "in-turn") -> float:
                await script.stdin.write(f"{order} {address}\n".encode())
                if not (took := await script.stdout.readline()):
                    raise RuntimeError((await script.stderr.read()).decode())
                return float(took)

            yield load
            script.stdin.close()
            await script.wait()

    async def config(self) -> str:
        """How the plugin has started its browser, for the bare script to do the same."""
        seen = await self.runtime.run(BrowseURLAction(url=self.pages, omit=PARTS))
        assert isinstance(seen, BrowserOutputObservation)
        [plugin] = await self.runtime.plugins()
        found = await self.runtime.exec([*self.side, "find", str(plugin.pid)])
        own = {"executable": seen.browser.executable, "flags": seen.browser.flags}
        return json.dumps(json.loads(found.stdout) | own)


async def measure(plan: Plan) -> Report:
    """Rows for each backend; the floor is Playwright alone in the same sandbox."""
    rows: list[Row] = []
    wire: list[Row] = []  # the same everywhere
    for backend in plan.backends:
        async with place(backend, plan) as there:
            plan.tell(f"loading pages on {backend}")
            rows += _time_rows(backend, await _loads(there, plan), unit="ms")
            wire = await wire_rows(there.runtime, f"{there.pages}300")
        rows += _time_rows(backend, await _from_cold(backend, plan), unit="s")
        async with place(backend, plan) as there:
            rows += await memory_rows(backend, there.runtime, f"{there.pages}300", plan)
    rows += wire
    if "docker" in plan.backends:
        rows += await layer_rows(plan.image)
    title = "pages, with their screenshot and accessibility tree"
    return Report("browser", title, tuple(rows), floor=BARE, bars=False)


@asynccontextmanager
async def place(backend: str, plan: Plan) -> AsyncIterator[Place]:
    """A runtime in which no page was loaded yet."""
    image = None if backend == "local" else plan.image
    runtime = EventStreamRuntime(image, backend=backend, plugins=["browser"], progress=plan.tell)
    async with runtime:
        script = Path(browser_side.__file__)
        side = (sys.executable, str(script))
        if backend == "docker":
            side = ("/opt/tether/bin/python3", "/srv/browser_side.py")
            await runtime.upload(script, side[1])
        async with await runtime.spawn([*side, "serve"]) as server:
            port = int(await server.stdout.readline())
            yield Place(runtime, f"http://127.0.0.1:{port}/", side)


async def _loads(there: Place, plan: Plan) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = defaultdict(list)
    async with there.bare(await there.config()) as bare:
        at_once = partial(bare, order="at-once")
        ways: dict[str, Load] = {
            BARE: bare,
            AT_ONCE: at_once,
            "Tether": there.load,
            ALL: there.load_all,
        }
        for round_ in range(plan.count(11, 1)):
            for page, path in PAGES.items():
                for who, load in ways.items():
                    for _ in range(plan.count(BLOCK, 1)):
                        took = await load(there.pages + path)
                        if round_ or plan.quick:  # the first one fills caches
                            samples[f"{page}: {who}"].append(took)
    return samples


async def _from_cold(backend: str, plan: Plan) -> dict[str, list[float]]:
    """Each in its turn starts everything that it needs; the files are in the kernel's cache."""
    samples: dict[str, list[float]] = defaultdict(list)
    for round_ in range(plan.count(8, 1)):
        async with place(backend, plan) as there:
            ours = await there.load(there.pages)
            config = await there.config()
            began = time.perf_counter()
            async with there.bare(config) as bare:
                await bare(there.pages)
                theirs = time.perf_counter() - began
        if round_ or plan.quick:
            samples[f"from cold: {BARE}"].append(theirs)
            samples["from cold: Tether"].append(ours)
    return samples


def _time_rows(
    backend: str, samples: dict[str, list[float]], *, unit: Literal["ms", "s"]
) -> list[Row]:
    rows = []
    for name, times in samples.items():
        what, _, who = name.partition(": ")
        floor = None if who == BARE else samples[f"{what}: {BARE}"]
        aim = AIM if who == "Tether" and unit == "ms" else None
        rows.append(time_row(f"{backend}, {name}", times, unit=unit, floor=floor, aim=aim))
    return rows
