"""A browser in the plugin's sidecar: Playwright's server there starts one for each connection."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tether_runtime_client.protocol.errors import BrowserNotStarted

from . import limits
from .failures import plain_message
from .place import Place

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

COMES_BACK_S = 20.0
"""How long a sidecar that nobody listens in is tried: one that ended is started anew."""

_NOBODY = "ECONNREFUSED"


async def connect(
    playwright: Playwright, url: str, place: Place, arguments: tuple[str, ...], limit_s: float
) -> Browser:
    """Have a browser started there, which ends with this connection; within `limit_s` seconds."""
    headers = {
        "x-playwright-launch-options": json.dumps(
            {
                "executablePath": place.executable,
                "args": [*place.flags, *arguments],
                "chromiumSandbox": place.confined,
                "timeout": limit_s * 1000,
            }
        )
    }
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + min(COMES_BACK_S, limit_s / 2), 0.05
    while True:
        try:
            return await playwright.chromium.connect(url, headers=headers, timeout=limit_s * 1000)
        except Exception as problem:
            if "Timeout" in str(problem):
                raise silent(url, limit_s) from None
            if _NOBODY not in str(problem):
                raise _refused(problem, url) from None
            if loop.time() + pause > until:
                raise BrowserNotStarted(
                    f"nobody listens at {_address(url)}, where the plugin's sidecar should",
                    hint="`SidecarLost` in the history says why it ended; it is started again",
                ) from None
        await asyncio.sleep(pause)  # nothing tells when somebody begins to listen
        pause = min(2 * pause, 1.0)


def silent(url: str, limit_s: float) -> BrowserNotStarted:
    """It is there, and neither gives a browser nor says why."""
    return BrowserNotStarted(
        f"the sidecar at {_address(url)} gave no browser within {limit_s:g} s, nor a reason",
        hint="Its program stands still, or gets no processor: `docker kill` its container,"
        " tether_SANDBOX.browser, and another one is started",
    )


def _refused(problem: Exception, url: str) -> BrowserNotStarted:
    said = limits.cut(plain_message(problem), limits.MESSAGE)
    return BrowserNotStarted(f"the sidecar at {_address(url)} gave no browser: {said}")


def _address(url: str) -> str:
    """Without the word that opens it."""
    return urlsplit(url).netloc
