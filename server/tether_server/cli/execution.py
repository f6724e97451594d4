"""One exec as `tether run` shows it: exact bytes, signals passed on, nothing left running."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import cast

from tether_runtime_client.protocol.actions import ExecAction, ExecSignalAction
from tether_runtime_client.protocol.errors import DiskFull, NoSuchProcess, TetherError
from tether_runtime_client.protocol.events import Event, ExecOutputDelta
from tether_runtime_client.protocol.observations import ExecObservation

from ..runtime import EventStreamRuntime
from ..submissions import new_action_id
from .failures import BROKEN_PIPE
from .interrupts import Interrupts
from .output import STDERR, STDOUT, Output

GRACE_S = 5.0
"""After a signal was passed on, how long the command may take to end before it is killed."""

END_S = 2.0
"""How long it may take after that."""

CHUNK = 1024 * 1024


class Execution:
    """Runs one command in a started runtime. Made and used in one task."""

    def __init__(self, runtime: EventStreamRuntime, output: Output, interrupts: Interrupts) -> None:
        self._runtime = runtime
        self._interrupts = interrupts
        self._streams = {
            "stdout": Stream("stdout", output, STDOUT),
            "stderr": Stream("stderr", output, STDERR),
        }
        self._id = new_action_id()
        self._main = asyncio.current_task()
        self._ended = asyncio.Event()
        self._signalling: asyncio.Task[None] | None = None

    async def run(self, action: ExecAction) -> int:
        """Returns the exit code: the command's own, also when a signal was passed on to it."""
        try:
            with self._interrupts.diverted(self._pass_on):
                observation = await self._show(action)
            for stream in self._streams.values():
                await stream.complete(self._runtime, observation)
        except BrokenPipeError:
            return BROKEN_PIPE
        finally:
            await self._leave_nothing()
        return observation.exit_code

    async def _show(self, action: ExecAction) -> ExecObservation:
        stream = cast("AsyncGenerator[Event, None]", self._runtime.stream(action, id=self._id))
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, ExecOutputDelta):
                    await self._streams[event.stream].take(event)
                elif isinstance(event, ExecObservation):
                    self._ended.set()
                    return event
        raise AssertionError("a stream ends with its observation, or raises")

    def _pass_on(self, number: signal.Signals) -> None:
        self._signalling = asyncio.get_running_loop().create_task(self._end_by(number))

    async def _end_by(self, number: signal.Signals) -> None:
        """By this signal, else by force; then without what nobody reads any more."""
        for attempt, patience_s in ((number, GRACE_S), (signal.SIGKILL, END_S)):
            await self._signal(attempt)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._ended.wait()
                return
        assert self._main is not None
        self._main.cancel()

    async def _signal(self, number: signal.Signals) -> None:
        target = ExecSignalAction(target_id=self._id, signal=number.name)
        with suppress(NoSuchProcess):  # it ended at this moment
            await self._runtime.run(target)

    async def _leave_nothing(self) -> None:
        """Kill what still runs: a kept sandbox would keep it too."""
        if self._signalling is not None:
            self._signalling.cancel()
        if self._ended.is_set():
            return
        with suppress(TetherError, TimeoutError):  # the sandbox is gone, or will be
            async with asyncio.timeout(END_S):
                await self._signal(signal.SIGKILL)


class Stream:
    """One of the command's two streams on its way to ours.

    Deltas that were left out because nobody acknowledged them in time leave a hole. From there
    on the bytes come from the sandbox's file, when the command has ended.
    """

    def __init__(self, name: str, output: Output, descriptor: int) -> None:
        self._name = name
        self._output = output
        self._descriptor = descriptor
        self._written = 0

    async def take(self, delta: ExecOutputDelta) -> None:
        """Write a delta, if it is the next one."""
        if delta.offset == self._written:
            await self._output.write(self._descriptor, delta.data)
            self._written += len(delta.data)

    async def complete(self, runtime: EventStreamRuntime, observation: ExecObservation) -> None:
        """Write what is still missing; raises `DiskFull` when the sandbox could not keep it."""
        total: int = getattr(observation, f"{self._name}_bytes")
        path: str | None = getattr(observation, f"{self._name}_path")
        if self._written >= total:
            return
        if path is None:
            raise DiskFull(
                f"{total - self._written:,} bytes of {self._name} are lost: the sandbox had no "
                f"room to keep them; the command's exit code is {observation.exit_code}"
            )
        with tempfile.TemporaryDirectory(prefix="tether-") as folder:
            whole = Path(folder) / self._name
            await runtime.download(path, whole)
            await self._copy_rest(whole)

    async def _copy_rest(self, whole: Path) -> None:
        with whole.open("rb") as file:
            file.seek(self._written)
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                await self._output.write(self._descriptor, chunk)
                self._written += len(chunk)
