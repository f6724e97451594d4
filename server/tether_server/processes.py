"""The processes that one runtime has handles on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import InvalidAction, TetherError, error_from_code
from tether_runtime_client.protocol.exec_actions import (
    ExecSignalAction,
    ExecStartAction,
    told_argv,
)
from tether_runtime_client.protocol.observations import (
    ErrorObservation,
    ExecAttachedObservation,
    Observation,
)

from .process import Process, attach
from .submissions import new_action_id

if TYPE_CHECKING:
    from .calls import Calls


class Processes:
    """Makes handles, and lets go of all of them when the runtime is closed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._open: set[Process] = set()

    async def spawn(self, action: ExecStartAction, id: str | None) -> Process:
        """Start a process, and ask to be connected to it in the same breath."""
        own = id or new_action_id()
        if id is not None:
            await self._check_id(id, action)
        started = self._calls._active.submit(action, own)
        try:
            attached = await attach(self._calls, own)
        except TetherError as problem:
            raise _reason(started.answer, problem) from None
        except asyncio.CancelledError:
            if id is None:  # nobody will ever know of it
                kill = ExecSignalAction(target_id=own, signal="SIGKILL")
                self._calls._active.submit(kill, None)
            raise
        process = self._handle(own, attached)
        process.follow(started.answer)
        return process

    async def find(self, id: str) -> Process:
        """Connect to a process that was started before."""
        return self._handle(id, await attach(self._calls, id))

    def cut(self) -> None:
        """Drop all connections as a broken network would."""
        for process in self._open:
            process.cut()

    async def close(self) -> None:
        """Let go of all. Twice is safe."""
        await asyncio.gather(*(process.close() for process in self._open))

    async def _check_id(self, id: str, action: ExecStartAction) -> None:
        """An id starts one process: asking for another one by it is a mistake."""
        former = self._calls._active.submitted(id)
        if former is None:  # another server may have started it
            listed = [one for one in await self._calls.processes() if one.id == id]
            is_other = any(one.argv != told_argv(action) for one in listed)
        else:
            is_other = former != action
        if is_other:
            raise InvalidAction(
                f"the id {id!r} was given to another action before",
                hint="Choose another id; `runtime.process(id)` finds the process that has this one",
            )

    def _handle(self, id: str, attached: ExecAttachedObservation) -> Process:
        process = Process(self._calls, id, attached)
        self._open.add(process)
        process.on_closed(self._open.discard)
        return process


def _reason(answer: asyncio.Future[Observation], problem: TetherError) -> TetherError:
    """Why a process cannot be connected to: it was not started, or has long ended."""
    outcome = answer.result() if answer.done() and not answer.exception() else None
    if isinstance(outcome, ErrorObservation):
        return error_from_code(outcome.code, outcome.message, outcome.hint, outcome.data)
    return problem
