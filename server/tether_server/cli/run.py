"""`tether run`: one command in a fresh sandbox, its streams and its exit code."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import nullcontext
from typing import Any

import click

from ..record import sandbox_folder
from ..runtime import EventStreamRuntime
from ..spawn_options import SpawnOptions
from .dashes import CommandAfterDashes
from .execution import Execution
from .interrupts import Interrupts, run_async
from .names import SANDBOX
from .output import Output
from .progress import ProgressDisplay
from .service import told_of_service
from .start_options import IMAGE, StartOptions, environment, start_options


@click.command(cls=CommandAfterDashes)
@click.argument("image", type=IMAGE, required=False)
@click.option("--attach", type=SANDBOX, metavar="NAME", help="In a running sandbox instead.")
@start_options
@click.option("-n", "--no-stdin", is_flag=True, help="Do not pass standard input on.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    words: tuple[str, ...], attach: str | None, no_stdin: bool, quiet: bool, **asked: Any
) -> int:
    """Run CMD in a fresh sandbox of IMAGE, and leave with its exit code.

    With --attach it runs in a sandbox that is there, which stays. Standard output and error come
    through as they are, byte for byte. Standard input is passed on, as it comes, when it is not a
    terminal. Ctrl-C interrupts CMD, whose exit code counts then too. There is no shell unless CMD
    is one.
    """
    if not words:
        raise click.UsageError("there is no command to run: give it behind --")
    start = StartOptions(**asked)
    display = ProgressDisplay(quiet=quiet)
    runtime = start.open(attach, display.say)
    stdin = not (no_stdin or sys.stdin is None or os.isatty(0))
    options = _options(start, stdin=stdin, attached=attach is not None)
    beside = start.entrypoint == "beside"
    code = run_async(lambda i: _run(runtime, words, options, display, i, beside=beside))
    if attach is not None:
        return code
    if start.keep and not quiet:
        click.echo(f"tether: {runtime.name} was kept", err=True)
    if not start.keep and start.name is None:
        # Nobody was told its name, and its history is as long as its output.
        shutil.rmtree(sandbox_folder(runtime.name), ignore_errors=True)
    return code


def _options(start: StartOptions, *, stdin: bool, attached: bool) -> SpawnOptions:
    """A fresh sandbox has the environment and the folder by itself."""
    if not attached:
        return SpawnOptions(stdin=stdin)
    return SpawnOptions(stdin=stdin, env=environment(start.env), cwd=start.workdir)


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
            async with told_of_service(runtime, at_once=True) if beside else nullcontext():
                execution = Execution(output, interrupts, stdin=options["stdin"])
                return await execution.run(runtime.spawn(words, **options))
