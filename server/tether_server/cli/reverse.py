"""`tether reverse`: ports of here in a running sandbox, beside whoever controls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..ports.options import LOOPBACK, ReverseOptions
from .mapped import hold
from .names import SANDBOX
from .pairs import port_pairs
from .text import visible

if TYPE_CHECKING:
    from ..operator import OperatorRuntime
    from ..ports import Reverse


@click.command()
@click.argument("name", type=SANDBOX)
@click.argument("ports", nargs=-1, required=True, metavar="[INSIDE:]HERE...")
@click.option("--bind", default=LOOPBACK, show_default=True, help="The address inside.")
@click.option(
    "--host", default=LOOPBACK, show_default=True, help="Where the port of here is, as numbers."
)
def command(name: str, ports: tuple[str, ...], bind: str, host: str) -> int:
    """Make ports of here reachable in the sandbox NAME, until Ctrl-C or the sandbox's end.

    \b
    5432             port 5432 here, the same number inside
    6000:5432        port 5432 here, port 6000 inside
    :5432            port 5432 here, any free port inside
    /tmp/db:5432     a UNIX socket inside
    6000:/run/db     a UNIX socket here

    Whatever runs in the sandbox can connect to them, and to nothing else of this machine. With
    --bind off loopback others on the sandbox's networks can as well: nothing is asked of them.
    """
    pairs = port_pairs(ports)

    async def make(runtime: OperatorRuntime) -> list[Reverse]:
        made = []
        for inside, here in pairs:
            options: ReverseOptions = {"host": host}
            if isinstance(inside, str):
                options["path"] = inside
            else:
                options |= {"port": inside, "bind": bind}
            made.append(await runtime.reverse(here, **options))
        return made

    return hold(name, make, _describe)


def _describe(reverse: Reverse) -> str:
    return f"{visible(reverse.url)} in the sandbox leads to {reverse.here} here"
