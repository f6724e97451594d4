"""The event stream as its readers see it: the whole past, then what comes, each event once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from tether_runtime_client.protocol.events import Event

from .history import History
from .plugins.typed import needs_opening, typed


class EventStream:
    """Readers of one history. A slow reader falls behind in the file; memory does not grow.

    Messages of plugins are of the plugins' own classes, where their packages are installed here.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiters: set[asyncio.Future[None]] = set()
        self._ended = False

    @property
    def last_seq(self) -> int:
        """The number of the newest event; 0 when there is none."""
        return self._history.last_seq

    def since(self, seq: int = 0) -> Iterator[Event]:
        """The stored events after number `seq`, in order; ends at the newest. Any thread."""
        return map(typed, self._history.since(seq))

    async def subscribe(
        self,
        since: int = 0,
        *,
        action_id: str | None = None,
        until: asyncio.Future[Any] | None = None,
    ) -> AsyncIterator[Event]:
        """The events after number `since`, then each new one as it comes.

        Ends when the runtime is closed and all was read. With `action_id` only the events about
        that action, with `until` no more than there are when that is done. Any number of
        subscribers, each at its own pace.
        """
        while True:
            ended = self._ended or (until is not None and until.done())
            page = self._history.page(since, action_id)
            for event in page:
                since = event.seq
                if needs_opening(event):  # the import of a plugin's package may take its time
                    await asyncio.to_thread(typed, event)
                yield typed(event)
            if page:
                continue
            if ended:
                return
            await self._next_event()

    def wake(self) -> None:
        """There is a new event. Called by the writer, on the loop."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def end(self) -> None:
        """There will be no more events. Twice is safe."""
        self._ended = True
        self.wake()

    async def _next_event(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
