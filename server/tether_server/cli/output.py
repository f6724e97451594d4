"""This process's own standard output and error: whole, in order, and never in the loop's way."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from queue import SimpleQueue
from typing import Self

STDOUT = 1
STDERR = 2
_Job = tuple[int, bytes, "asyncio.Future[None]"]


class Output:
    """Writes bytes in a thread of its own: a pager that does not read holds up nothing else.

    The thread is a daemon, so that one which waits for such a reader does not keep the process
    from ending.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=self._work, name="tether output", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.put(None)

    async def write(self, descriptor: int, data: bytes) -> None:
        """Return when all of it is written; raises `BrokenPipeError` when nobody reads any more."""
        written: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((descriptor, data, written))
        await written

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            descriptor, data, written = job
            problem: OSError | None = None
            try:
                write_all(descriptor, data)
            except OSError as error:
                problem = error
            if not self._tell(written, problem):
                return

    def _tell(self, written: asyncio.Future[None], problem: OSError | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(_settle, written, problem)
        except RuntimeError:  # the loop was closed while a reader kept us waiting
            return False
        return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor, also to one that somebody made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _settle(written: asyncio.Future[None], problem: OSError | None) -> None:
    if written.done():
        return
    if problem is not None:
        written.set_exception(problem)
    else:
        written.set_result(None)
