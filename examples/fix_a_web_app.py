"""A bug in a web app is seen, found and fixed, with a browser, a Python kernel and a shell.

The shop in `examples/shop` adds up a cart wrongly, and its own tests pass. This does what an agent
would do about it, but as a script. `--image IMAGE` does it in a container of any image; without it
all of it runs in processes on this machine. `--pictures FOLDER` keeps the screenshots.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from decimal import Decimal
from operator import mul
from pathlib import Path
from urllib.parse import urlsplit

import click

from tether_server import (
    BackgroundOutput,
    BrowseInteractiveAction,
    BrowserOutputObservation,
    BrowseURLAction,
    CmdOutputDelta,
    CmdRunAction,
    EventStreamRuntime,
    FileEditAction,
    IPythonRunCellAction,
    ScreenshotOptions,
)

SHOP = Path(__file__).parent / "shop"
PLUGINS = {"browser": {"context": {"viewport": {"width": 600, "height": 330}}}, "jupyter": {}}
CART = {"Teapot": 2, "Espresso cup": 1}
MARKED = ScreenshotOptions(marks=True)
START_S = 30.0

REPRODUCE = """
import inspect, sys
sys.path.insert(0, {folder!r})
import shop
[(price, shop.cents(price)) for price in ("19.99", "8.20", "2.50")]
"""
CHECK = """
wrong = [amount for amount in range(100_000) if shop.cents(shop.shown(amount)) != amount]
print(f"{len(wrong):,} of 100,000 prices are wrong:", *map(shop.shown, wrong[:5]))
"""
CAUSE = 'print(inspect.getsource(shop.cents)); float("19.99") * 100'
AGAIN = "import importlib; importlib.reload(shop)" + CHECK
WRONG, RIGHT = "return int(float(price) * 100)", "return round(float(price) * 100)"
LAST_TEST = """\
        self.assertEqual(total({"towel": 3, "tray": 1}), 1950)
"""
NEW_TEST = """\
        self.assertEqual(total({"teapot": 2, "cup": 1}), 4818)
"""


class Agent:
    """Its actions, one after the other. Each shows what is done and what came of it."""

    def __init__(self, runtime: EventStreamRuntime, folder: str) -> None:
        self._runtime = runtime
        self._folder = folder

    async def shell(self, command: str, session: str = "default") -> int | None:
        """A command in the app's folder; its exit code."""
        click.secho(f"$ {command}", fg="cyan")
        action = CmdRunAction(command=command, session=session, cwd=self._folder)
        seen = await self._runtime.run(action)
        click.echo(seen.content, nl=False)
        return seen.exit_code

    async def cell(self, code: str) -> str:
        """What a cell of Python shows. The kernel keeps its state from one to the next."""
        click.secho("\n".join(f">>> {line}" for line in code.strip().splitlines()), fg="cyan")
        cell = await self._runtime.run(IPythonRunCellAction(code=code))
        click.echo(cell.content.rstrip())
        return cell.content.strip()

    async def replace(self, file: str, old: str, new: str) -> None:
        """Change a file in one place."""
        seen = await self._runtime.run(
            FileEditAction(
                command="str_replace", path=f"{self._folder}/{file}", old_str=old, new_str=new
            )
        )
        click.echo(seen.diff, nl=False)

    async def serve(self, python: str, port: int = 0) -> str:
        """The app as a background job, in a session of its own; its address once it serves."""
        since = self._runtime.events.last_seq
        await self.shell(f"{python} app.py {port} &", session="app")
        said = ""
        async with asyncio.timeout(START_S):
            async for event in self._runtime.events.subscribe(since):
                if isinstance(event, BackgroundOutput | CmdOutputDelta):
                    said += event.content
                    if address := re.search(r"http://\S+/", said):
                        click.echo(address[0])
                        return address[0]
        raise SystemExit("the app did not start")

    async def look(self, action: BrowseURLAction | BrowseInteractiveAction) -> Page:
        """Do something in the browser; what the page has then."""
        page = Page(await self._runtime.run(action))
        click.echo("\n".join(page.lines))
        return page

    async def keep(self, page: Page, picture: Path) -> None:
        """Bring its screenshot here."""
        if page.seen.screenshot is not None:
            await self._runtime.download(page.seen.screenshot.path, picture)
            click.echo(f"screenshot: {picture}")


class Page:
    """A page with a cart, as its accessibility tree tells it: an agent reads no more of it."""

    def __init__(self, seen: BrowserOutputObservation) -> None:
        self.seen = seen
        self.lines = [
            line.strip() for line in seen.tree.splitlines() if re.search("cell|status", line)
        ]
        cells = re.findall(r'- cell "(.*?)"', seen.tree)
        prices, quantities = map(Decimal, cells[1::3]), map(int, cells[2::3])
        self.expected = sum(map(mul, prices, quantities), Decimal())
        self.total = Decimal(re.findall(r'- status "Total" .*: "(.*)"', seen.tree)[0])


async def fix(agent: Agent, folder: str, pictures: Path | None) -> None:
    """The whole of it."""
    heading("A kernel says which Python there is, and the shell runs the app with it")
    python = await agent.cell("import sys; print(sys.executable)")
    url = await agent.serve(python)

    heading("The browser fills a cart, and its total is wrong")
    await agent.look(BrowseURLAction(url=url))
    steps = [step for item, quantity in CART.items() for step in put_in_cart(item, quantity)]
    page = await agent.look(BrowseInteractiveAction(steps=steps, screenshot=MARKED))
    click.secho(f"{page.expected} was expected, and not {page.total}", fg="red")
    if pictures is not None:
        await agent.keep(page, pictures / "shop-before.png")

    heading("The app's own tests pass all the same")
    await agent.shell(f"{python} -m unittest")

    heading("The kernel finds the cause")
    await agent.cell(REPRODUCE.format(folder=folder))
    await agent.cell(CHECK)
    await agent.cell(CAUSE)

    heading("A test that fails, and the change that makes it pass")
    await agent.replace("test_shop.py", LAST_TEST, LAST_TEST + NEW_TEST)
    before = await agent.shell(f"{python} -m unittest")
    await agent.replace("shop.py", WRONG, RIGHT)
    after = await agent.shell(f"{python} -m unittest")
    checked = await agent.cell(AGAIN)

    heading("The app is started again, and the same cart is right")
    await agent.shell("kill $!; wait $!", session="app")
    await agent.serve(python, urlsplit(url).port or 0)
    page = await agent.look(BrowseInteractiveAction(steps=[{"step": "reload"}], screenshot=MARKED))
    if pictures is not None:
        await agent.keep(page, pictures / "shop-after.png")
    await agent.shell("kill $!; wait $!", session="app")
    if (before, after, page.total) != (1, 0, page.expected) or not checked.startswith("0 of"):
        raise SystemExit("the bug is still there")
    click.secho(f"{page.total}, as expected", fg="green")


def put_in_cart(item: str, quantity: int) -> list[dict[str, object]]:
    """The steps of it; each names its element by role and name."""
    return [
        {"step": "select", "role": "combobox", "name": "Item", "options": [item]},
        {"step": "fill", "role": "spinbutton", "name": "Quantity", "text": str(quantity)},
        {"step": "click", "role": "button", "name": "Add"},
    ]


def heading(text: str) -> None:
    """Say what comes next."""
    click.secho(f"\n▸ {text}", bold=True)


async def run(image: str | None, pictures: Path | None) -> None:
    """One runtime's whole life. On this machine the app's folder is a temporary one."""
    where = {"image": image, "user": 0} if image else {"backend": "local"}
    runtime = EventStreamRuntime(**where, plugins=PLUGINS, progress=show_progress)
    with tempfile.TemporaryDirectory() as temporary:
        folder = "/srv/shop" if image else temporary
        async with runtime:
            began = time.monotonic()
            await runtime.upload(SHOP, folder, exclude=["__pycache__"])
            await fix(Agent(runtime, folder), folder, pictures)
            told = runtime.events.last_seq
            click.echo(f"{told} events, {time.monotonic() - began:.1f} s after the start")


def show_progress(message: str) -> None:
    """Say on standard error what is being waited for."""
    click.secho(f"  {message}", dim=True, err=True)


@click.command()
@click.option("--image", help="Do it in a container of this image.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Keep the screenshots here.")
def main(image: str | None, pictures: Path | None) -> None:
    """See, find and fix a bug in a web app."""
    asyncio.run(run(image, pictures))


if __name__ == "__main__":
    main()
