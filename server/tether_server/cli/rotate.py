"""`tether rotate`: a sandbox's secret becomes another."""

from __future__ import annotations

import click

from ..operator import OperatorRuntime
from .interrupts import run_async
from .names import SANDBOX
from .text import visible


@click.command()
@click.argument("name", type=SANDBOX)
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was changed.")
def command(name: str, quiet: bool) -> int:
    """Change the secret of a sandbox while it runs.

    Neither the former nor the new one is sent. Once this has returned the sandbox refuses the
    former. What runs there goes on; servers that are connected come back by the new one.
    """

    async def rotate() -> int:
        async with OperatorRuntime.beside(name) as runtime:
            await runtime.rotate_secret()
        return 0

    code = run_async(lambda _: rotate())
    if not quiet:
        click.echo(f"{visible(name)} has another secret now")
    return code
