"""The connections of one transfer, one after the other: the next goes on where the last ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from .bulk import BulkFrame, BulkStream
from .bulk_socket import BulkSocket
from .errors import TransferError

T = TypeVar("T")
Lent = BulkSocket[BulkFrame]
Reopen = Callable[[], Awaitable[BulkStream | None]]
"""Gets the next connection; None when the transfer is over. Raises what ended it otherwise."""


class BulkLine:
    """A transfer's present connection, and the way to the next. Made on the loop.

    `run` gives its `socket` to a thread, which calls `next` when that is lost. Without `reopen`
    there is one connection and no other.
    """

    def __init__(self, stream: BulkStream, reopen: Reopen | None = None) -> None:
        self.stream = stream
        self.over = False
        """Whether there was no next connection because none is needed."""

        self._lost_because = ""
        self._reopen = reopen
        self._loop = asyncio.get_running_loop()
        self._lent: Lent | None = None
        self._renewing: asyncio.Task[object] | None = None
        self._cancelled = False

    async def run(self, work: Callable[[BulkLine], T]) -> T:
        """Run blocking work in a thread that has the socket; cancelled, it cuts the connection.

        Afterwards `stream` can be read and written again. Raises `TransferError` when it is
        closed.
        """
        try:
            self._lent = await self.stream.lend()
        except asyncio.CancelledError:
            self.stream.abort("cancelled")
            raise
        try:
            return await in_thread(lambda: work(self), self._cancel)
        finally:
            self._give_back()

    # --- for the thread

    @property
    def socket(self) -> Lent:
        """The present connection's."""
        assert self._lent is not None
        return self._lent

    @property
    def lost_because(self) -> str:
        """Why the last connection went."""
        return self._lent.closed_because if self._lent is not None else self._lost_because

    def next(self) -> bool:
        """Wait for the next connection, as the present one is lost; False when there is none."""
        if self._reopen is None:
            return False
        renewing = asyncio.run_coroutine_threadsafe(self._renew(self._reopen), self._loop)
        try:
            return renewing.result()
        except CancelledError:
            raise TransferError("the transfer was cancelled") from None

    # --- on the loop

    async def _renew(self, reopen: Reopen) -> bool:
        if self._cancelled:
            raise asyncio.CancelledError
        self._renewing = asyncio.current_task()
        try:
            self._give_back()
            self.stream.abort("it was lost")
            stream = await reopen()
            if stream is None:
                self.over = True
                return False
            self.stream = stream
            self._lent = await stream.lend()
            return True
        finally:
            self._renewing = None

    def _cancel(self) -> None:
        self._cancelled = True
        if self._renewing is not None:
            self._renewing.cancel()
        self.stream.abort("cancelled")

    def _give_back(self) -> None:
        lent, self._lent = self._lent, None
        if lent is not None:
            self._lost_because = lent.closed_because
            self.stream.take_back(lent)


async def in_thread(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Run blocking work in a thread of its own.

    When the caller is cancelled, `stop` must make the work end soon; its end is waited for, so
    that whatever it cleans up is gone when the cancellation goes on.
    """
    executor = ThreadPoolExecutor(1, "tether-bulk")
    working = asyncio.get_running_loop().run_in_executor(executor, work)
    executor.shutdown(wait=False)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop()
        await _settled(working)
        raise


async def _settled(working: asyncio.Future[T]) -> None:
    """Wait for the end, however often the caller is cancelled meanwhile."""
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            continue
    working.exception()  # it has been looked at
