"""Standard input of a started exec: what came of it, on its way to the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..processes import Process
from ..protocol.errors import TransferError
from ..protocol.limits import EXEC_WINDOW

CHUNK = 64 * 1024


class Feeder:
    """Holds at most a window of input that the process has not read. `run` feeds it.

    `received` counts what has come, whether the process has it yet or not, over all connections.
    `on_taken` is called when the process has taken more, or takes none any more (`closed`).
    """

    def __init__(self, on_taken: Callable[[], None]) -> None:
        self._on_taken = on_taken
        self._waiting = bytearray()
        self._more = asyncio.Event()
        self._end_received = False
        self.received = 0
        self.taken = 0
        self.closed = False

    def feed(self, data: bytes) -> None:
        """Take input from the caller; raises `TransferError` for more than it was allowed."""
        if self._end_received:
            raise TransferError("input came after its end")
        self.received += len(data)
        if self.received - self.taken > EXEC_WINDOW:
            raise TransferError("more input came than there is room for")
        if not self.closed:
            self._waiting += data
            self._more.set()

    def end(self, total: int) -> None:
        """The caller has told the end of the input. Twice is safe."""
        if total != self.received:
            raise TransferError(
                f"the input ends after {total} bytes, and {self.received} have come"
            )
        self._end_received = True
        self._more.set()

    async def run(self, process: Process) -> None:
        """Write what comes until its end, or until the process reads no more."""
        try:
            while await self._next():
                chunk = bytes(self._waiting[:CHUNK])
                await process.write_stdin(chunk)
                del self._waiting[: len(chunk)]
                self.taken += len(chunk)
                self._on_taken()
        except BrokenPipeError:
            self._waiting.clear()
        self.closed = True
        process.close_stdin()
        self._on_taken()

    async def _next(self) -> bool:
        while not self._waiting:
            if self._end_received:
                return False
            self._more.clear()
            await self._more.wait()
        return True
