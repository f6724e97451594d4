"""`tether shell`: an interactive terminal in a sandbox, new or running."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from ..runtime import EventStreamRuntime
from ..spawn_options import SpawnOptions
from .dashes import CommandAfterDashes
from .interrupts import Interrupts, run_async
from .names import SANDBOX
from .output import Output
from .progress import ProgressDisplay
from .raw_terminal import has_terminal, window
from .service import told_of_service
from .start_options import IMAGE, StartOptions, environment, start_options
from .terminal_session import show_terminal, terminal_environment


@click.command(cls=CommandAfterDashes)
@click.argument("image", type=IMAGE, required=False)
@click.option("--attach", type=SANDBOX, metavar="NAME", help="Enter a running sandbox instead.")
@start_options
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(words: tuple[str, ...], attach: str | None, quiet: bool, **asked: Any) -> int:
    """Open a terminal in a fresh sandbox of IMAGE, or with --attach in a running one.

    It runs the sandbox's login shell, or CMD, and leaves with its exit code. A fresh sandbox
    goes with it, unless --keep; a running one stays.
    """
    start = StartOptions(**asked)
    if not has_terminal():
        instead = "tether run" if attach is None else f"tether run --attach {attach} -- CMD"
        text = f"standard input and output are no terminal; `{instead}` needs none"
        raise click.ClickException(f"tether shell is for people, and {text}")
    display = ProgressDisplay(quiet=quiet)
    runtime = start.open(attach, display.say)
    options = _options(start, attached=attach is not None)
    beside = start.entrypoint == "beside"
    code = run_async(lambda i: _run(runtime, words, options, display, i, beside=beside))
    if start.keep and attach is None and not quiet:
        click.echo(f"tether: {runtime.name} was kept", err=True)
    return code


def _options(start: StartOptions, *, attached: bool) -> SpawnOptions:
    options = SpawnOptions(tty=True, size=window(), env=terminal_environment())
    if attached:
        options["env"] = {**terminal_environment(), **environment(start.env)}
        options["cwd"] = start.workdir
    return options


async def _run(
    runtime: EventStreamRuntime,
    words: tuple[str, ...],
    options: SpawnOptions,
    display: ProgressDisplay,
    interrupts: Interrupts,
    *,
    beside: bool,
) -> int:
    with display, Output() as output:
        async with runtime:
            display.done()
            service = told_of_service(runtime, at_once=False) if beside else nullcontext()
            async with service:
                return await show_terminal(runtime.spawn(words, **options), output, interrupts)
