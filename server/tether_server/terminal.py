"""A person's terminal in a sandbox: raw bytes both ways on a bulk connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.actions import TerminalAction
from tether_runtime_client.protocol.bulk import BulkStream, ResizeFrame
from tether_runtime_client.protocol.errors import RuntimeClosed, TransferError
from tether_runtime_client.protocol.events import Event, TransferReady
from tether_runtime_client.protocol.observations import TerminalObservation

from .transfer import open_bulk

if TYPE_CHECKING:
    from .runtime import EventStreamRuntime

END_TIMEOUT_S = 15.0
"""After the bytes have ended, how long the sandbox's word on the exit code is waited for."""


class Terminal:
    """The near end. One reader, one writer; made by `open_terminal`."""

    def __init__(self, stream: BulkStream, events: AsyncGenerator[Event, None]) -> None:
        self._stream = stream
        self._events = events

    async def read(self) -> bytes:
        """What the terminal shows next; empty at its end. Anything may be in it."""
        while (message := await self._stream.read()) is not None:
            if isinstance(message, bytes) and message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        """Type; returns when the connection takes more. Raises `TransferError` at the end."""
        await self._stream.write(data)

    def resize(self, rows: int, cols: int) -> None:
        """The window has another size now; nothing happens once the terminal has ended."""
        if self._stream.closed_because is None:
            self._stream.send(ResizeFrame(rows=max(1, rows), cols=max(1, cols)))

    def hang_up(self) -> None:
        """There is nobody at this end any more: what runs in the terminal gets a SIGHUP."""
        self._stream.close()

    async def exit_code(self) -> int:
        """How the process ended, after `read` was empty; raises the error the action ended in."""
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                async for event in self._events:
                    if isinstance(event, TerminalObservation):
                        return event.exit_code
        except TimeoutError:
            raise TransferError(
                f"the terminal's connection was lost: {self._stream.closed_because}"
            ) from None
        raise RuntimeClosed("the runtime was closed before the terminal had ended")


@asynccontextmanager
async def open_terminal(
    runtime: EventStreamRuntime, action: TerminalAction
) -> AsyncIterator[Terminal]:
    """Start `action` in a started runtime, and connect to it.

    Leaving the block ends what still runs in the terminal.
    """
    if runtime._link is None:
        raise RuntimeClosed("the runtime was not started: use `async with`")
    transport = runtime._link.transport
    async with aclosing(runtime._follow(action)) as events:
        ready = await _ready(events)
        stream = await open_bulk(transport, ready.ticket)
        try:
            yield Terminal(stream, events)
        finally:
            stream.close()


async def _ready(events: AsyncGenerator[Event, None]) -> TransferReady:
    async for event in events:
        if isinstance(event, TransferReady):
            return event
    raise RuntimeClosed("the runtime was closed before the terminal was open")
