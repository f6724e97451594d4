"""`tether shell`: an interactive terminal in a sandbox, new or running."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import nullcontext
from typing import Any

import click

from tether_runtime_client.protocol.actions import TerminalAction
from tether_runtime_client.protocol.errors import TransferError

from ..runtime import EventStreamRuntime
from ..terminal import Terminal, open_terminal
from .dashes import CommandAfterDashes
from .interrupts import Interrupts, run_async
from .names import SANDBOX
from .output import STDOUT, Output
from .progress import ProgressDisplay
from .raw_terminal import STDIN, RawTerminal, has_terminal, window
from .service import told_of_service
from .start_options import StartOptions, environment, start_options

READ_SIZE = 64 * 1024

log = logging.getLogger(__name__)


@click.command(cls=CommandAfterDashes)
@click.argument("image", required=False)
@click.option("--attach", type=SANDBOX, metavar="NAME", help="Enter a running sandbox instead.")
@start_options
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(words: tuple[str, ...], attach: str | None, quiet: bool, **options: Any) -> int:
    """Open a terminal in a fresh sandbox of IMAGE, or with --attach in a running one.

    It runs the sandbox's login shell, or CMD, and leaves with its exit code. A fresh sandbox
    goes with it, unless --keep; a running one stays.
    """
    start = StartOptions(**options)
    if not has_terminal():
        instead = "tether run" if attach is None else f"tether run --attach {attach} -- CMD"
        text = f"standard input and output are no terminal; `{instead}` needs none"
        raise click.ClickException(f"tether shell is for people, and {text}")
    display = ProgressDisplay(quiet=quiet)
    runtime = start.open(attach, display.say)
    action = _action(words, start, attached=attach is not None)
    beside = start.entrypoint == "beside"
    code = run_async(lambda i: _run(runtime, action, display, i, beside=beside))
    if start.keep and attach is None and not quiet:
        click.echo(f"tether: {runtime.name} was kept", err=True)
    return code


def _action(words: tuple[str, ...], start: StartOptions, *, attached: bool) -> TerminalAction:
    rows, cols = window()
    env = {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
    if attached:
        env |= environment(start.env)
    cwd = start.workdir if attached else None
    return TerminalAction(argv=words, rows=rows, cols=cols, cwd=cwd, env=env)


async def _run(
    runtime: EventStreamRuntime,
    action: TerminalAction,
    display: ProgressDisplay,
    interrupts: Interrupts,
    *,
    beside: bool,
) -> int:
    with display, Output() as output:
        async with runtime:
            display.done()
            service = told_of_service(runtime, at_once=False) if beside else nullcontext()
            async with service, open_terminal(runtime, action) as terminal:
                with RawTerminal() as raw:
                    interrupts.last_wish = raw.restore_calm
                    await _serve(terminal, output)
                    return await terminal.exit_code()


async def _serve(terminal: Terminal, output: Output) -> None:
    """Carry bytes both ways until the terminal ends."""
    loop = asyncio.get_running_loop()
    typing = loop.create_task(_type(terminal))
    loop.add_signal_handler(signal.SIGWINCH, lambda: terminal.resize(*window()))
    terminal.resize(*window())  # it may have changed while the sandbox was started
    try:
        while data := await terminal.read():
            await output.write(STDOUT, data)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)


async def _type(terminal: Terminal) -> None:
    """Send what is typed. When the window is gone, so is the reason for the terminal."""
    try:
        while data := await _keys():
            await terminal.write(data)
    except (OSError, TransferError):
        log.debug("typing has ended", exc_info=True)
    finally:
        terminal.hang_up()


async def _keys() -> bytes:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(STDIN, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(STDIN)
    return os.read(STDIN, READ_SIZE)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
