"""What the benchmark of the browser runs in a sandbox, by the sandbox's own Python.

serve          pages on a free port, which it prints
find PID       as JSON, how the browser below a plugin's process was started
drive JSON     bare Playwright, with the browser started in the same way: for each line of its
               input it loads the page at an address, takes a screenshot and the accessibility tree,
               and prints the seconds. The line's first word says whether these two are taken
               `in-turn`, as a script has them, or `at-once`
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FORM = """<!doctype html><title>Order</title><h1>Order</h1><form>
<label>Name <input name=name></label> <label>Colour <select><option>red<option>blue</select></label>
<label><input type=checkbox> Gift</label> <button>Send</button></form>
<p>What is ordered today is sent tomorrow.</p>"""
FOLDERS = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
"""Where each browser may write: nothing is shared."""


class Handler(BaseHTTPRequestHandler):
    """`/` has a form, `/300` as many buttons."""

    def do_GET(self) -> None:
        count = self.path.strip("/")
        buttons = "".join(f"<li><button>button {n}</button></li>" for n in range(int(count or 0)))
        page = (FORM if not count else f"<!doctype html><title>Large</title>{buttons}").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said of requests."""


def serve() -> None:
    """Until it is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    _say(server.server_address[1])
    server.serve_forever()


def find(plugin: int) -> None:
    """Read from the processes themselves, so that it stays true however they are installed."""
    driver = next(pid for pid in _children(plugin) if b"run-driver" in _read(pid, "cmdline"))
    browser = next(
        pid for pid in _children(driver) if b"--remote-debugging-pipe" in _read(pid, "cmdline")
    )
    package = next(word for word in _words(driver, "cmdline") if word.endswith("/cli.js"))
    _say(
        json.dumps(
            {
                "site": package.partition("/playwright/driver/")[0],
                "driver": _variables(driver),
                "browser": _variables(browser),
            }
        )
    )


async def drive(config: dict[str, Any]) -> None:
    """One page of one browser, as anyone's script has it."""
    sys.path.insert(0, config["site"])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        own = dict.fromkeys(FOLDERS, folder)
        os.environ.update(config["driver"] | own)
        from playwright.async_api import async_playwright

        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=config["executable"],
                args=config["flags"],
                chromium_sandbox="--no-sandbox" not in config["flags"],
                env=config["browser"] | own,
            )
            page = await (await browser.new_context()).new_page()
            while words := (await asyncio.to_thread(sys.stdin.readline)).split():
                _say(await _load(page, *words))
            await browser.close()


async def _load(page: Any, order: str, address: str) -> float:
    began = time.perf_counter()
    await page.goto(address)
    if order == "at-once":
        await asyncio.gather(page.screenshot(), page.aria_snapshot(mode="ai"))
    else:
        await page.screenshot()
        await page.aria_snapshot(mode="ai")
    return time.perf_counter() - began


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _words(pid: int, name: str) -> list[str]:
    return [os.fsdecode(word) for word in _read(pid, name).split(b"\0") if word]


def _variables(pid: int) -> dict[str, str]:
    pairs = (word.partition("=") for word in _words(pid, "environ"))
    return {name: value for name, _, value in pairs}


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["find", pid]:
            find(int(pid))
        case ["drive", config]:
            asyncio.run(drive(json.loads(config)))
        case _:
            sys.exit(__doc__)
