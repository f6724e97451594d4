"""Ends what waits in other threads than the first, which no signal reaches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any


class Stopped(Exception):
    """It was to end before its time."""


class Stop:
    """Is set once, by any thread; whoever waits for something then ends with `Stopped`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: list[SimpleQueue[Any]] = []
        self._is_set = False

    def set(self) -> None:
        """Wakes all who wait. Twice is safe."""
        with self._lock:
            queues, self._queues, self._is_set = self._queues, [], True
        for queue in queues:
            queue.put(Stopped())

    @contextmanager
    def wakes(self, queue: SimpleQueue[Any]) -> Iterator[None]:
        """Within the block `Stopped` is put into a queue that somebody waits for.

        Raises:
            Stopped: it is set already.
        """
        with self._lock:
            if self._is_set:
                raise Stopped
            self._queues.append(queue)
        try:
            yield
        finally:
            with self._lock:
                self._queues = [each for each in self._queues if each is not queue]
