"""`tether rm`: sandboxes, and what is left of them, go away."""

from __future__ import annotations

import asyncio

import click

from tether_runtime_client.protocol.errors import TetherError

from ..inventory import Listed, take_inventory
from ..removal import REMOVALS_AT_ONCE, remove
from .failures import OWN_FAILURE, complain
from .interrupts import run_async
from .names import SANDBOX
from .ps import tell_what_was_not_seen
from .text import visible


@click.command()
@click.argument("names", nargs=-1, type=SANDBOX, metavar="NAME…")
@click.option("--orphans", is_flag=True, help="What dead servers left behind; histories stay.")
@click.option("--all", "everything", is_flag=True, help="All that is recorded here, histories too.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was removed.")
def command(names: tuple[str, ...], orphans: bool, everything: bool, quiet: bool) -> int:
    """Remove sandboxes by name, with their histories.

    Says what it removed. A name that is not there is no error. A server that still uses a
    removed sandbox sees it end.
    """
    if not names and not orphans and not everything:
        raise click.UsageError("say which: NAME…, --orphans or --all")
    if names and (orphans or everything):
        raise click.UsageError("a NAME goes with neither --orphans nor --all")
    inventory = take_inventory()
    # The engine may show sandboxes of other state folders too: `--all` is not about those.
    named = [
        s for s in inventory.sandboxes if s.name in names or (everything and s.folder is not None)
    ]
    left = [s for s in inventory.sandboxes if orphans and s.leftover and s not in named]
    known = {found.name for found in named}
    for name in dict.fromkeys(names):
        if name not in known and not quiet:
            click.echo(f"there is no sandbox {visible(name)}", err=True)
    wanted = [*((found, True) for found in named), *((found, False) for found in left)]
    code = run_async(lambda _: _remove_all(wanted, quiet=quiet))
    unseen = (orphans or everything) and tell_what_was_not_seen(inventory)
    return OWN_FAILURE if unseen else code


async def _remove_all(wanted: list[tuple[Listed, bool]], *, quiet: bool) -> int:
    gate = asyncio.Semaphore(REMOVALS_AT_ONCE)

    async def one(found: Listed, history: bool) -> bool:
        async with gate:
            return await _remove(found, history=history, quiet=quiet)

    done = await asyncio.gather(*(one(found, history) for found, history in wanted))
    return 0 if all(done) else OWN_FAILURE


async def _remove(found: Listed, *, history: bool, quiet: bool) -> bool:
    try:
        what = await remove(found, history=history)
    except (TetherError, OSError) as problem:
        hint = problem.hint if isinstance(problem, TetherError) else ""
        message = problem.message if isinstance(problem, TetherError) else str(problem)
        complain(f"{found.name} could not be removed: {message}", hint)
        return False
    if not quiet:
        click.echo(f"removed {visible(what)}")
    return True
