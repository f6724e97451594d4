"""An event loop in a thread of its own, and calls into it from threads that have none."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from tether_runtime_client.protocol.errors import RuntimeClosed

EXIT_TIMEOUT_S = 30.0
"""How long the end of this process waits for loops that nobody finished."""

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[], Coroutine[Any, Any, T]]
Last = Work[None]
"""Coroutines are made on the loop that runs them: none is left over where nothing is run."""


class LoopThread:
    """Runs coroutines for threads that wait for them. Any thread may call; the loop is one.

    `owner` says whose it is, for people; `farewell` makes what still has to run when nobody calls
    `finish`. The thread is a daemon, so that a forgotten loop does not keep the process alive for
    ever; the end of the process runs its farewell all the same.
    """

    def __init__(self, owner: str, farewell: Last) -> None:
        self._owner = owner
        self._farewell = farewell
        self._lock = threading.Lock()
        self._open = True
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last: asyncio.Future[Last]
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name=owner, daemon=True)
        self._thread.start()
        self._loop = self._started.result()
        _running.add(self)

    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run what `function` makes on the loop; return what it returns, or raise what it raises.

        An exception in the waiting thread, such as `KeyboardInterrupt`, cancels the work, waits
        for the work's own clean-up and goes on; the loop stays usable. Raises `RuntimeClosed`
        when the loop ends first.
        """
        self._refuse_own_thread()
        call = _Call(partial(function, *args, **kwargs), self._tasks)
        try:
            self._post(call)
            wait([call.outcome])
        except BaseException:
            self._cancel(call)
            raise
        return call.outcome.result()

    def tell(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """The same for what is no coroutine, and has to be called on the loop."""

        async def work() -> None:
            function(*args, **kwargs)

        self.call(work)

    @property
    def busy(self) -> bool:
        """Whether a call is still at work, such as the clean-up of one that was interrupted."""
        return bool(self._tasks)

    def finish(self, last: Last) -> None:
        """Run `last`, then end the loop and the thread. Twice is safe, from any thread.

        Other work that is still under way then is cancelled. An interrupted wait leaves the end
        going on in the background; the end of the process waits for it.
        """
        self._refuse_own_thread()
        began = self._begin_end(last)
        wait([self._ended])
        self._thread.join()
        if began:
            self._ended.result()

    def finish_later(self, last: Last) -> None:
        """The same without waiting for it."""
        self._begin_end(last)

    def abandon(self) -> None:
        """Nobody can call any more: end in the background, and warn unless the end was begun."""
        if self._begin_end(self._farewell):
            text = f"the {self._owner} was not closed: use `with`, or call close()"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=3)

    def wait_ended(self, timeout_s: float) -> bool:
        """Wait for an end that was begun; whether it came within `timeout_s`."""
        return bool(wait([self._ended], timeout=timeout_s).done)

    def _refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("called from the runtime's own event loop, which this would block")

    def _begin_end(self, last: Last) -> bool:
        with self._lock:
            was_open, self._open = self._open, False
            if was_open:
                self._loop.call_soon_threadsafe(self._last.set_result, last)
        return was_open

    def _post(self, call: _Call[Any]) -> None:
        # Under the lock, so that no call is posted behind the loop's end and waits for ever.
        with self._lock:
            if self._open:
                self._loop.call_soon_threadsafe(call.begin)
                call.posted = True
                return
        raise RuntimeClosed("the runtime is closed")

    def _cancel(self, call: _Call[Any]) -> None:
        if not call.posted:
            return
        with self._lock:
            if self._open:
                self._loop.call_soon_threadsafe(call.cancel)
        wait([call.outcome])

    def _main(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as problem:
            log.debug("%s ended badly: %r", self._thread.name, problem)
            if not self._started.done():
                self._started.set_exception(problem)
            self._ended.set_exception(problem)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.create_future()
        self._started.set_result(loop)
        last = await self._last
        try:
            await last()
        finally:
            await self._end_tasks()

    async def _end_tasks(self) -> None:
        """Cancel each once: one that is cancelled already is at its clean-up."""
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Call(Generic[T]):
    """One coroutine on its way to the loop, and its outcome on the way back."""

    def __init__(self, work: Work[T], tasks: set[asyncio.Task[Any]]) -> None:
        self._work = work
        self._tasks = tasks
        self.posted = False
        self.outcome: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        """Start the work. On the loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())
        self._tasks.add(self._task)
        self._task.add_done_callback(self._settle)

    def cancel(self) -> None:
        """Cancel the work, after `begin`. On the loop."""
        assert self._task is not None
        self._task.cancel()

    def _settle(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            problem: BaseException | None = RuntimeClosed("the runtime was closed meanwhile")
        else:
            problem = task.exception()
        if problem is not None:
            self.outcome.set_exception(problem)
        else:
            self.outcome.set_result(task.result())


_running: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _end_all() -> None:
    """At the end of the process, free what nobody closed and what is still being closed."""
    threads = list(_running)
    for thread in threads:
        thread.abandon()
    for thread in threads:
        if not thread.wait_ended(EXIT_TIMEOUT_S):
            log.warning("a runtime that was not closed did not end within %s s", EXIT_TIMEOUT_S)


atexit.register(_end_all)
