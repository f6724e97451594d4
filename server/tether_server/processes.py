"""The processes that one runtime has handles on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import TetherError
from tether_runtime_client.protocol.exec_actions import (
    ExecAttachAction,
    ExecSignalAction,
    ExecStartAction,
)
from tether_runtime_client.protocol.observations import ExecAttachedObservation

from .process import Process
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
        from .calls import raise_error

        own = id or new_action_id()
        started = self._calls._active.submit(action, own)
        try:
            attached = await self._calls.run(ExecAttachAction(target_id=own))
        except TetherError:
            if started.answer.done():  # it was not started, or has long ended
                raise_error(started.answer.result())
            raise
        except asyncio.CancelledError:
            if id is None:  # nobody will ever know of it
                kill = ExecSignalAction(target_id=own, signal="SIGKILL")
                self._calls._active.submit(kill, None)
            raise
        process = self._handle(attached)
        process.follow(started.answer)
        return process

    async def find(self, id: str) -> Process:
        """Connect to a process that was started before."""
        return self._handle(await self._calls.run(ExecAttachAction(target_id=id)))

    async def close(self) -> None:
        """Let go of all. Twice is safe."""
        await asyncio.gather(*(process.close() for process in self._open))

    def _handle(self, attached: ExecAttachedObservation) -> Process:
        process = Process(self._calls, attached)
        self._open.add(process)
        process.on_closed(self._open.discard)
        return process
