"""A process on a terminal in a sandbox, carried to the terminal that a person sits at."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Mapping

from tether_runtime_client.protocol.errors import TetherError

from ..process import Process
from .interrupts import Interrupts
from .output import STDOUT, Output
from .raw_terminal import STDIN, RawTerminal, window

READ_SIZE = 64 * 1024

log = logging.getLogger(__name__)


def terminal_environment() -> Mapping[str, str]:
    """What programs have to know of the terminal that they will be shown on."""
    return {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}


async def show_terminal(
    starting: Awaitable[Process], output: Output, interrupts: Interrupts
) -> int:
    """Raw bytes both ways until it ends; returns the exit code.

    When this is left early the process is ended, unless it is detached.
    """
    async with await starting as process:
        with RawTerminal() as raw:
            interrupts.last_wish = raw.restore_calm
            await _carry(process, output)
            return await process.wait()


async def _carry(process: Process, output: Output) -> None:
    loop = asyncio.get_running_loop()
    typing = loop.create_task(_type(process))
    loop.add_signal_handler(signal.SIGWINCH, lambda: process.resize(*window()))
    process.resize(*window())  # it may have changed while the sandbox was started
    try:
        while data := await process.stdout.read(READ_SIZE):
            await output.write(STDOUT, data)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)


async def _type(process: Process) -> None:
    """Send what is typed. When the window is gone, so is the reason for the terminal."""
    try:
        while data := await _keys():
            await process.stdin.write(data)
    except TetherError:
        log.debug("typing has ended", exc_info=True)
        return
    except OSError:
        log.debug("the window is gone", exc_info=True)
    await process.send_signal(signal.SIGHUP)


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
