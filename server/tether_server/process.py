"""A process in a sandbox, with its streams at hand while it runs. Made by `runtime.spawn`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tether_runtime_client.protocol.bulk import ResizeFrame
from tether_runtime_client.protocol.errors import (
    ActionLost,
    DiskFull,
    InvalidAction,
    NoSuchProcess,
    RuntimeClosed,
    StdinClosed,
    TetherError,
    TransferError,
    error_from_code,
)
from tether_runtime_client.protocol.exec_actions import ExecAttachAction, ExecSignalAction
from tether_runtime_client.protocol.exec_frames import EndedFrame, OutputName
from tether_runtime_client.protocol.observations import (
    ErrorObservation,
    ExecAttachedObservation,
    ExecObservation,
    Observation,
)

from .backoff import Backoff
from .process_connection import Connection
from .process_streams import Bell, ProcessInput, ProcessOutput

if TYPE_CHECKING:
    from .calls import Calls

LAST_RETRY_S = 1.0
HANG_UP_TIMEOUT_S = 1.0
"""What runs on a terminal is told first that the terminal goes, and may end in its own way."""

KILL_TIMEOUT_S = 10.0
"""How long a killed process may take to end when its block is left."""


class Process:
    """A handle on a process. It survives lost connections: nothing is lost or comes twice.

    It has an `id`, by which `runtime.process` finds it again, a `pid` in the sandbox, and the
    streams `stdin` (`ProcessInput`), `stdout` and `stderr` (`ProcessOutput`). As with
    `asyncio.subprocess`, a process that writes waits for whoever reads: read both streams (or
    `communicate`, or `discard` one) before or while you `wait`. With a terminal all output is in
    `stdout`.

    As a context manager it kills the process at the end of the block, unless that has ended or is
    detached; one on a terminal gets a SIGHUP and a second before that. Once it has ended, `signal`
    has the number of the signal that ended it, and `timed_out` says whether its time was over.
    Used in one event loop.
    """

    def __init__(self, calls: Calls, id: str, attached: ExecAttachedObservation) -> None:
        entry = attached.exec
        self.id = id
        self.pid = entry.pid
        self.tty = entry.tty
        self.detached = entry.detach
        self._calls = calls
        bell = Bell()
        self._bell = bell
        self._unsent = unsent = asyncio.Event()
        self.stdin = ProcessInput(bell, unsent.set, attached.stdin, given=entry.stdin)
        self.stdout = ProcessOutput(bell, unsent.set, attached.stdout)
        self.stderr = ProcessOutput(bell, unsent.set, attached.stderr)
        self._outputs: dict[OutputName, ProcessOutput] = {"stdout": self.stdout}
        if entry.tty:
            self.stderr.end(attached.stderr)
        else:
            self._outputs["stderr"] = self.stderr
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._connection: Connection | None = None
        self._size: ResizeFrame | None = None
        self.timed_out = False
        self.signal: int | None = None
        self._serving = asyncio.create_task(self._serve(attached), name=f"process {self.id}")

    @property
    def exit_code(self) -> int | None:
        """How it ended, 128 + n for signal n; None while it runs, or while nobody knows yet."""
        known = self._exit.done() and not self._exit.cancelled() and not self._exit.exception()
        return self._exit.result() if known else None

    async def wait(self) -> int:
        """The exit code, once it has ended and all it wrote was kept. Safe to cancel.

        Raises `ActionLost` when the runtime client died with it, and what else keeps the end from
        being known.
        """
        return await asyncio.shield(self._exit)

    async def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        """Send `data` and the end of the input, read both streams to their ends, and wait.

        Data that it does not read is dropped. Raises `StdinClosed` for data to a process that was
        started without an input.
        """
        if data and not self.stdin.given:
            await self.stdin.write(data)  # which raises it
        _, stdout, stderr = await asyncio.gather(
            self._feed(data), self.stdout.read(), self.stderr.read()
        )
        await self.wait()
        return stdout, stderr

    async def merged(self) -> AsyncIterator[tuple[OutputName, bytes]]:
        """Both streams as they come, each piece with the name of its stream."""
        while True:
            pieces = [(name, output.take_now()) for name, output in self._outputs.items()]
            for name, data in pieces:
                if data:
                    yield name, data
            if any(data for _, data in pieces):
                continue
            for output in self._outputs.values():
                output.check()
            if all(output.at_end for output in self._outputs.values()):
                return
            await self._bell.heard()

    async def send_signal(self, number: int | str) -> None:
        """Signal its whole process group. Nothing happens once it has ended.

        15, "SIGTERM" and "TERM" are the same. Raises `InvalidAction` for what is no signal.
        """
        name = signal_name(number)
        if self._exit.done():
            return
        with suppress(NoSuchProcess):
            await self._calls.run(ExecSignalAction(target_id=self.id, signal=name))

    async def terminate(self) -> None:
        """SIGTERM to the whole group."""
        await self.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL to the whole group."""
        await self.send_signal(signal.SIGKILL)

    def resize(self, rows: int, cols: int) -> None:
        """Its terminal has another size now: what runs in front gets a SIGWINCH."""
        self._size = ResizeFrame(rows=max(1, rows), cols=max(1, cols))
        if self._connection is not None:
            self._connection.resize(self._size)

    async def close(self) -> None:
        """Let go of the process, which goes on: `runtime.process(id)` finds it. Twice is safe.

        One that is not detached waits for its next caller once nobody reads its output.
        """
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._fail(RuntimeClosed("the handle of the process was closed"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self.detached and not self._exit.done():
                await self._end()
        finally:
            await self.close()

    # --- inside

    def on_closed(self, tell: Callable[[Process], object]) -> None:
        """Call this when the handle needs no connection any more."""
        self._serving.add_done_callback(lambda _: tell(self))

    def cut(self) -> None:
        """Drop the connection as a broken network would; it is made anew."""
        if self._connection is not None:
            self._connection.cut()

    def follow(self, answer: asyncio.Future[Observation]) -> None:
        """The observation of the action that started it tells its end too, or its loss."""
        answer.add_done_callback(self._on_answer)

    def _on_answer(self, answer: asyncio.Future[Observation]) -> None:
        if answer.cancelled():
            return
        problem = answer.exception()
        if isinstance(problem, TetherError):
            self._fail(problem)
            return
        match answer.result():
            case ExecObservation() as end:
                self._on_end(end)
            case ErrorObservation() as error:
                self._fail(error_from_code(error.code, error.message, error.hint, error.data))

    async def _end(self) -> None:
        for output in self._outputs.values():
            output.discard()
        hang_up = ((signal.SIGHUP, HANG_UP_TIMEOUT_S),) if self.tty else ()
        for number, limit_s in (*hang_up, (signal.SIGKILL, KILL_TIMEOUT_S)):
            with suppress(TetherError, TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self.send_signal(number)
                    await self.wait()
                return

    async def _feed(self, data: bytes) -> None:
        with suppress(StdinClosed):  # it has what it wanted
            await self.stdin.write(data)
        self.stdin.close()

    async def _serve(self, attached: ExecAttachedObservation) -> None:
        """Stay connected until everything is here."""
        tries = Backoff(LAST_RETRY_S)
        try:
            while not await self._connected(attached):
                await tries.wait()
                taken = {name: output.taken for name, output in self._outputs.items()}
                attached = await attach(self._calls, self.id, **taken)
        except TetherError as error:
            self._fail(error)

    async def _connected(self, attached: ExecAttachedObservation) -> bool:
        """Serve one connection; whether everything has come."""
        try:
            stream = await self._calls._bulk.connect(attached.ticket)
        except TransferError:
            return False
        self.stdin.check(attached.stdin)
        self.stdout.begin(attached.stdout)
        if not self.tty:
            self.stderr.begin(attached.stderr)
        connection = Connection(stream, self.stdin, self._outputs, self._on_end)
        self._connection = connection
        try:
            await connection.serve(attached.stdin, self._unsent, self._size)
        except DiskFull as lost:  # how it ends can be known all the same
            for output in self._outputs.values():
                output.lose(lost)
        finally:
            self._connection = None
        return self._exit.done() and all(output.ended for output in self._outputs.values())

    def _on_end(self, end: EndedFrame | ExecObservation) -> None:
        self.stdin.fail(StdinClosed("the process has ended"))
        self.timed_out, self.signal = end.timed_out, end.signal
        if not self._exit.done():
            self._exit.set_result(end.exit_code)

    def _fail(self, error: TetherError) -> None:
        """Whoever waits gets the error, behind what has come."""
        self.stdin.fail(error)
        for output in self._outputs.values():
            output.fail(error)
        if not self._exit.done():
            self._exit.set_exception(error)
            self._exit.exception()  # nobody need be waiting


async def attach(calls: Calls, id: str, **taken: int) -> ExecAttachedObservation:
    """Ask to be connected, with the bytes of each stream that need not come again."""
    while True:
        with suppress(ActionLost):  # asked for by an operator and cut off: nothing has happened
            return await calls.run(ExecAttachAction(target_id=id, **taken))


def signal_name(which: int | str) -> str:
    """The name of a signal of that number or name; raises `InvalidAction` when there is none."""
    try:
        if isinstance(which, int):
            return signal.Signals(which).name
        return signal.Signals["SIG" + which.upper().removeprefix("SIG")].name
    except (ValueError, KeyError):
        hint = "Signals have names, such as SIGTERM or TERM, and numbers"
        raise InvalidAction(f"there is no signal {which!r}", hint=hint) from None
