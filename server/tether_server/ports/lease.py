"""The lease of a mapping: asked for, kept, and asked for anew when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.bulk import BulkStream
from tether_runtime_client.protocol.errors import (
    ActionCancelled,
    ActionLost,
    SandboxGone,
    TetherError,
    TransferError,
)
from tether_runtime_client.protocol.observations import PortReadyObservation
from tether_runtime_client.protocol.port_actions import PortForwardAction, PortReverseAction
from tether_runtime_client.protocol.port_frames import EofFrame, TicketsFrame, WantFrame

from ..backoff import LAST_RETRY_S, Backoff

if TYPE_CHECKING:
    from ..calls import Calls


log = logging.getLogger(__name__)
OnTickets = Callable[[tuple[str, ...]], Awaitable[None]]


class Lease:
    """One mapping's. Each is asked for by an action, and lives on a connection of its own.

    It is asked for by `action`, and later by whatever that is then. `on_tickets` gets what comes;
    while it waits, no more is read. `on_change` is called when it was lost and when there is a new
    one, `on_failed` when there will be none any more.
    """

    def __init__(
        self,
        calls: Calls,
        action: PortForwardAction | PortReverseAction,
        *,
        on_tickets: OnTickets,
        on_change: Callable[[], None],
        on_failed: Callable[[TetherError], None],
    ) -> None:
        self._calls = calls
        self.action = action
        self._on_tickets = on_tickets
        self._on_change = on_change
        self._on_failed = on_failed
        self._stream: BulkStream | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> PortReadyObservation:
        """Have the first one; raises why the sandbox gives none."""
        ready, stream = await self._have()
        self._task = asyncio.create_task(self._keep(stream))
        return ready

    @property
    def held(self) -> bool:
        """Whether there is one at this moment."""
        return self._stream is not None and self._stream.closed_because is None

    def want(self, count: int) -> None:
        """Ask for so many tickets."""
        if self._stream is not None:
            with suppress(TransferError):  # it is lost, which is seen by whoever reads
                self._stream.send(WantFrame(count=count))

    async def close(self) -> None:
        """Give it up. Twice is safe."""
        if self._stream is not None:
            with suppress(TransferError):
                self._stream.send(EofFrame())
            self._stream.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def cut(self) -> None:
        """Drop its connection as a broken network would."""
        if self._stream is not None:
            self._stream.abort("cut on request")

    # --- inside

    async def _keep(self, stream: BulkStream) -> None:
        loop, tries = asyncio.get_running_loop(), Backoff()
        try:
            while True:
                began = loop.time()
                await self._serve(stream)
                if loop.time() - began > LAST_RETRY_S:
                    tries.reset()
                await tries.wait()
                stream = await self._have_again()
        except TetherError as problem:
            self._on_failed(problem)
        except Exception as defect:
            log.exception("the lease of a port failed")
            self._on_failed(TransferError(f"the lease failed: {defect!r}"))

    async def _serve(self, stream: BulkStream) -> None:
        """Return when it is lost."""
        self._stream = stream
        self._on_change()
        try:
            while isinstance(message := await stream.read(), TicketsFrame):
                await self._on_tickets(message.tickets)
        finally:
            self._stream = None
            stream.close()
            self._on_change()

    async def _have_again(self) -> BulkStream:
        """Also when the sandbox has to be started for it by somebody; raises once it is gone."""
        tries = Backoff()
        while True:
            submissions = self._calls._active
            try:
                return (await self._have())[1]
            except SandboxGone:
                if submissions.ended is not None:
                    raise
            await submissions.running()
            await tries.wait()  # it may be a hostile client's word

    async def _have(self) -> tuple[PortReadyObservation, BulkStream]:
        tries = Backoff()
        while True:
            with suppress(ActionLost, ActionCancelled, TransferError):  # nothing has happened
                ready = await self._calls.run(self.action)
                return ready, await self._calls._bulk.connect(ready.ticket)
            await tries.wait()
