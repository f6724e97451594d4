"""One process as `tether run` and `exec` show it: exact bytes, signals passed on, nothing left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Coroutine
from contextlib import nullcontext, suppress
from typing import Any

from tether_runtime_client.protocol.errors import RuntimeClosed, StdinClosed, TetherError

from ..process import Process
from .failures import BROKEN_PIPE, complain
from .input import Input
from .interrupts import Interrupts
from .output import STDERR, STDOUT, Output

GRACE_S = 5.0
"""After a signal was passed on, how long the command may take to end before it is killed."""

END_S = 2.0
"""How long it may take after that."""


class Execution:
    """Carries one process's streams. Made and used in one task."""

    def __init__(self, output: Output, interrupts: Interrupts, *, stdin: bool) -> None:
        self._output = output
        self._interrupts = interrupts
        self._stdin = stdin
        self._main = asyncio.current_task()
        self._tasks: list[asyncio.Task[None]] = []
        self._process: Process | None = None

    async def run(self, starting: Awaitable[Process]) -> int:
        """Returns the exit code: the command's own, also when a signal was passed on to it.

        A detached one is left running by a signal; any other is ended when this is left.
        """
        self._process = process = await starting
        passing_on = self._interrupts.diverted(self._pass_on)
        try:
            async with process:
                with nullcontext() if process.detached else passing_on:
                    if self._stdin:
                        self._begin(self._feed(process))
                    await self._show(process)
                    code = await process.wait()
            if process.timed_out:
                complain(f"killed: it had not ended after its time (exit code {code})")
            return code
        except BrokenPipeError:
            return BROKEN_PIPE
        finally:
            for task in self._tasks:
                task.cancel()

    async def _show(self, process: Process) -> None:
        async for stream, data in process.merged():
            await self._output.write(STDOUT if stream == "stdout" else STDERR, data)

    async def _feed(self, process: Process) -> None:
        own = Input()
        with suppress(StdinClosed, RuntimeClosed):  # it has what it wanted, or has ended
            while data := await own.read():
                await process.stdin.write(data)
        process.stdin.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def _pass_on(self, number: signal.Signals) -> None:
        self._begin(self._end_by(number))

    async def _end_by(self, number: signal.Signals) -> None:
        """By this signal, else by force; then without what nobody reads any more."""
        assert self._process is not None
        assert self._main is not None
        for attempt, patience_s in ((number, GRACE_S), (signal.SIGKILL, END_S)):
            with suppress(TetherError, TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._process.send_signal(attempt)
                    await self._process.wait()
                break
        await asyncio.wait([self._main], timeout=END_S)
        self._main.cancel()
