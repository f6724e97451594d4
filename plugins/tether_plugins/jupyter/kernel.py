"""A kernel by its name: at any time it has at most one process, and runs at most one cell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tether_runtime_client.plugin import ActionContext
from tether_runtime_client.plugin.processes import OomKills
from tether_runtime_client.protocol.errors import KernelError, KernelWaitsForInput, NothingRunning
from tether_runtime_client.protocol.jupyter import (
    IPythonInputAction,
    IPythonInterruptAction,
    IPythonInterruptObservation,
    IPythonKernelEnded,
    IPythonKernelStarted,
    IPythonRunCellAction,
    IPythonRunCellObservation,
    KernelEnd,
    KernelEndCause,
    KernelInfo,
    KernelState,
)

from .cell import Cell, Stopping
from .config import JupyterConfig
from .files import OutputFiles
from .lane import GivenUp, Lane
from .launch import Started
from .live import LiveKernel
from .observing import observe

Start = Callable[[str | None, str | None, ActionContext], Awaitable[Started]]
"""Starts a process with a Python, where a session is, for an action."""

_KILL_S = 10.0
_POLITE_S = 2.0


class Kernel:
    """One owner, on the loop. Actions come side by side and take turns here."""

    def __init__(
        self,
        name: str,
        config: JupyterConfig,
        start: Start,
        files: OutputFiles,
        oom_kills: OomKills,
    ) -> None:
        self.name = name
        self._config = config
        self._start_process = start
        self._files = files
        self._oom_kills = oom_kills
        self._lane = Lane()
        self._live: LiveKernel | None = None
        self._wanted: str | None = None
        self._starting = False
        self._started_at: float | None = None
        self.lost: KernelEnd | None = None
        """How the last process ended, until a cell is told that it has a fresh one."""
        self._last_end: KernelEnd | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(
        self, action: IPythonRunCellAction, context: ActionContext
    ) -> IPythonRunCellObservation:
        """Run a cell when it is its turn."""
        self._check_not_waiting()
        began = time.monotonic()
        try:
            async with asyncio.timeout(action.timeout_s):
                await self._lane.enter()
        except (GivenUp, TimeoutError) as problem:
            return self._not_begun(problem, began)
        try:
            waited = time.monotonic() - began
            live, lost = await self._prepared(action.python, action.session, context)
            files = self._files.of(context.action_id)
            cell = live.execute(action.code, action.allow_input, files)
        except BaseException:
            self._lane.leave()
            raise
        cell.began = began
        left = None if action.timeout_s is None else action.timeout_s - waited
        return await self._attend(live, cell, context, left, lost)

    async def answer(
        self, action: IPythonInputAction, context: ActionContext
    ) -> IPythonRunCellObservation:
        """Give a waiting cell its input, and follow it on. Raises `NothingRunning`."""
        live, cell = self._live, self._cell
        if live is None or cell is None or cell.prompt is None:
            raise NothingRunning(
                f"no cell of the kernel {self.name!r} waits for input",
                hint="IPythonListKernelsAction tells what each kernel does",
            )
        cell.renew()
        live.answer_input(action.text)
        return await self._attend(live, cell, context, action.timeout_s, None)

    async def interrupt(
        self, action: IPythonInterruptAction, context: ActionContext
    ) -> IPythonInterruptObservation:
        """Interrupt the cell that runs; the kernel stays, whatever the cell makes of it."""
        given_up = self._lane.give_up() if action.queued else 0
        live, cell = self._live, self._cell
        if live is None or cell is None:
            return IPythonInterruptObservation(
                kernel=self.name, interrupted=False, given_up=given_up
            )
        alone = cell.tell is None
        if alone:
            cell.renew()
        cell.stopping = cell.stopping or "interrupted"
        mark = self._oom_kills.mark()
        ended = await live.interrupt(cell, self._config.interrupt_grace_s)
        rest = self._observation(live, cell, None, mark) if alone and ended else None
        return IPythonInterruptObservation(
            kernel=self.name, interrupted=ended, given_up=given_up, cell=rest
        )

    async def restart(self, python: str | None, context: ActionContext) -> KernelInfo:
        """A fresh process in place of the one there is."""
        self._lane.give_up()
        await self._end("restart", "it was restarted")
        await self._lane.enter()
        try:
            self._wanted = python or self._wanted
            await self._end("restart", "it was restarted")
            self.lost = None
            await self._started(python or self._wanted, None, context)
        finally:
            self._lane.leave()
        return self.info()

    async def shut_down(self) -> KernelInfo:
        """End it, politely where it has nothing to do."""
        self._lane.give_up()
        live = self._live
        if live is not None and not live.has_ended and live.cell is None:
            live.process.asked, live.process.why = "shutdown", "it was shut down"
            live.ask_to_end()
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLITE_S):
                    await live.gone.wait()
        await self._end("shutdown", "it was shut down")
        return self.info()

    async def ask(
        self, kind: str, content: dict[str, Any], timeout_s: float, context: ActionContext
    ) -> dict[str, Any]:
        """A question that the kernel answers between two cells."""
        self._check_not_waiting()
        try:
            async with asyncio.timeout(timeout_s):
                await self._lane.enter()
        except (GivenUp, TimeoutError):
            raise KernelError(
                f"the kernel {self.name!r} had no time for it in {timeout_s:g} s",
                hint="Ask again when its cell has ended, or interrupt that",
            ) from None
        try:
            live, _ = await self._prepared(None, None, context, take_lost=False)
            return await live.ask(kind, content, timeout_s)
        finally:
            self._lane.leave()

    def info(self) -> KernelInfo:
        """What there is to know about it."""
        live = self._live
        alive = live is not None and not live.has_ended
        return KernelInfo(
            name=self.name,
            state=self._state(),
            python=live.python if live else None,
            pid=live.process.pid if live and alive else None,
            execution_count=live.execution_count if live else 0,
            queued=self._lane.waiting,
            started=self._started_at if alive else None,
            memory=live.process.memory() if live and alive else None,
            cwd=live.process.folder() if live and alive else None,
            end=None if alive else self._last_end,
        )

    @property
    def _cell(self) -> Cell | None:
        return self._live.cell if self._live is not None else None

    def _state(self) -> KernelState:
        if self._starting:
            return "starting"
        if self._live is None or self._live.has_ended:
            return "not_started" if self._last_end is None else "ended"
        if self._cell is None:
            return "idle"
        return "busy" if self._cell.prompt is None else "waiting_for_input"

    def _check_not_waiting(self) -> None:
        cell = self._cell
        if cell is not None and cell.prompt is not None:
            raise KernelWaitsForInput(
                f"a cell of the kernel {self.name!r} waits for input: {cell.prompt.text!r:.200}",
                kernel=self.name,
            )

    def _not_begun(self, problem: BaseException, began: float) -> IPythonRunCellObservation:
        gave_up = isinstance(problem, GivenUp)
        why = "it was given up while it waited" if gave_up else "its time was over"
        return IPythonRunCellObservation(
            content="",
            status="aborted" if gave_up else "timeout",
            kernel=self.name,
            incomplete=f"{why}: nothing of it was run",
            duration_s=time.monotonic() - began,
        )

    async def _prepared(
        self,
        python: str | None,
        session: str | None,
        context: ActionContext,
        *,
        take_lost: bool = True,
    ) -> tuple[LiveKernel, KernelEnd | None]:
        """A kernel that can run a cell, in the right place; and how an earlier one was lost."""
        live = self._live
        if live is not None and live.has_ended:
            await live.gone.wait()
            live = None
        if live is None:
            live = await self._started(python or self._wanted, session, context)
        elif python is not None and python not in (self._wanted, live.python.executable):
            raise KernelError(
                f"the kernel {self.name!r} runs with {live.python.executable}",
                hint=f"IPythonRestartAction(python={python!r}) replaces it;"
                " or take another kernel's name",
                kernel=self.name,
            )
        else:
            await live.listen()
            if session is not None:
                await live.enter(str(await context.session_folder(session)))
        lost = self.lost
        if take_lost:
            self.lost = None
        return live, lost

    async def _started(
        self, python: str | None, session: str | None, context: ActionContext
    ) -> LiveKernel:
        began = time.monotonic()
        self._starting = True
        try:
            started = await self._start_process(python, session, context)
            live = LiveKernel(self.name, started, self._lane.leave)
            try:
                await live.come_up()
            except BaseException:
                live.process.kill("killed", "it did not come up")
                raise
        finally:
            self._starting = False
        self._live, self._wanted, self._started_at = live, python, time.time()
        self._keep(asyncio.create_task(self._note_end(live)))
        context.emit(
            IPythonKernelStarted(
                kernel=self.name,
                pid=live.process.pid,
                python=live.python,
                duration_s=time.monotonic() - began,
            )
        )
        return live

    async def _note_end(self, live: LiveKernel) -> None:
        await live.process.ended.wait()
        end = live.process.end
        self._last_end = end
        if end is not None and end.cause not in ("restart", "shutdown"):
            self.lost = end
        cell = live.cell
        if cell is not None and cell.tell is not None and end is not None:
            cell.tell(IPythonKernelEnded(kernel=self.name, end=end))

    async def _attend(
        self,
        live: LiveKernel,
        cell: Cell,
        context: ActionContext,
        timeout_s: float | None,
        lost: KernelEnd | None,
    ) -> IPythonRunCellObservation:
        """Until the cell has ended, or waits for input. One whose action is gone is stopped."""
        cell.tell = context.emit
        mark = self._oom_kills.mark()
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    await cell.pause.wait()
            except TimeoutError:
                await self._stop(live, cell, "timeout")
        except asyncio.CancelledError:
            cell.tell = None
            self._keep(asyncio.create_task(self._stop(live, cell, "interrupted")))
            raise
        finally:
            cell.tell = None
        return self._observation(live, cell, lost, mark)

    def _observation(
        self, live: LiveKernel, cell: Cell, lost: KernelEnd | None, mark: int
    ) -> IPythonRunCellObservation:
        return observe(
            cell,
            python=live.python,
            background=live.take_background(),
            state_lost=lost,
            oom_kills=self._oom_kills.since(mark),
        )

    async def _stop(self, live: LiveKernel, cell: Cell, why: Stopping) -> None:
        """Interrupt a cell; only one that ignores that costs the kernel its life."""
        cell.stopping = cell.stopping or why
        grace = self._config.interrupt_grace_s
        if not await live.interrupt(cell, grace):
            live.process.kill("killed", f"its cell ignored two interrupts for {grace:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(_KILL_S):
                    await cell.ended.wait()

    async def _end(self, cause: KernelEndCause, why: str) -> None:
        live = self._live
        if live is not None:
            live.process.kill(cause, why)
            await live.gone.wait()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
