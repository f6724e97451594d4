"""Terminal actions: raw bytes both ways between a person's terminal and a process here."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..dispatcher import Context
from ..environment import Environment
from ..protocol import errors as e
from ..protocol.actions import TerminalAction
from ..protocol.bulk import BulkStream, ResizeFrame
from ..protocol.events import TransferReady
from ..protocol.observations import TerminalObservation
from ..protocol.transfer import give_up
from ..settings import ClientSettings
from ..shell import BashChoice
from ..tickets import Tickets
from .pty_process import PtyProcess
from .spawn_errors import spawn_errors

DEFAULT_TERM = "xterm-256color"
PROBE_AFTER_S = 20.0
"""While a program does not read what was typed, the connection is not read either; this often
it is written to instead, which tells whether it still stands."""


class Terminals:
    """Handles `TerminalAction`."""

    def __init__(
        self,
        tickets: Tickets,
        settings: ClientSettings,
        environment: Environment,
        bash: BashChoice,
    ) -> None:
        self._tickets = tickets
        self._environment = environment
        self._registry = str(settings.state / "sessions")
        self._bash = bash

    async def handle(self, action: TerminalAction, context: Context) -> TerminalObservation:
        """Run until the process ends, or until the connection does, which ends the process."""
        argv = action.argv or self._login_shell()
        ticket = self._tickets.issue()
        context.emit(TransferReady(action_id=context.action_id, ticket=ticket, kind="terminal"))
        stream = await self._tickets.redeemed(ticket)
        try:
            process = self._start(argv, action)
        except e.TetherError as error:
            await give_up(stream, error)
            raise
        try:
            return TerminalObservation(exit_code=await _serve(process, stream))
        finally:
            stream.close()
            await process.close()

    def _start(self, argv: Sequence[str], action: TerminalAction) -> PtyProcess:
        cwd = action.cwd or os.getcwd()
        env = {**self._environment.of_people, "TERM": DEFAULT_TERM, **(action.env or {})}
        with spawn_errors(argv, cwd):
            return PtyProcess(
                argv,
                env=env,
                cwd=cwd,
                size=(action.rows, action.cols),
                sessions=self._registry,
            )

    def _login_shell(self) -> tuple[str, ...]:
        shell = self._bash.path or shutil.which("sh")
        if not shell:
            raise e.NoShell("there is neither a bash nor a sh for a login shell")
        return (shell, "-l")


async def _serve(process: PtyProcess, stream: BulkStream) -> int:
    """The exit code. A connection that ends first ends the process."""
    inward = asyncio.create_task(_inward(stream, process))
    outward = asyncio.create_task(_outward(process, stream))
    try:
        ends: list[asyncio.Future[Any]] = [inward, process.exited]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not process.exited.done():
            await process.hang_up()
    finally:
        await _stop(inward, outward)
    await _send_rest(process, stream)
    if not process.exited.done():
        raise e.ProcessError("the terminal's process could not be ended")
    return process.exited.result()


async def _stop(*pumps: asyncio.Task[None]) -> None:
    for pump in pumps:
        pump.cancel()
    for result in await asyncio.gather(*pumps, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, e.TransferError):
            raise result


async def _outward(process: PtyProcess, stream: BulkStream) -> None:
    """Output to the connection: when that is slow, the process is slowed down."""
    while data := await process.read():
        await stream.write(data)
        await asyncio.sleep(0)  # a program that floods its terminal gets no more than its turn


async def _send_rest(process: PtyProcess, stream: BulkStream) -> None:
    """What the process wrote before it ended; what background jobs write later goes nowhere."""
    with suppress(e.TransferError):  # the connection is gone, and nobody to read it
        data, _ = process.read_now()
        while data:
            await stream.write(data)
            data, _ = process.read_now()


async def _inward(stream: BulkStream, process: PtyProcess) -> None:
    """What is typed, and new sizes; returns when the connection is gone."""
    while (message := await stream.read()) is not None:
        if isinstance(message, bytes):
            await _type(message, stream, process)
        elif isinstance(message, ResizeFrame):
            process.resize(message.rows, message.cols)
        else:
            stream.abort(f"a {message.type} message has no place on a terminal")


async def _type(data: bytes, stream: BulkStream, process: PtyProcess) -> None:
    view = memoryview(data)
    while view:
        view = view[process.type(bytes(view)) :]
        if not view:
            return
        try:
            async with asyncio.timeout(PROBE_AFTER_S):
                await process.typable()
        except TimeoutError:
            await stream.write(b"")
