"""This process's own standard input, of whatever kind, without keeping the loop waiting."""

from __future__ import annotations

import asyncio
import os
import threading
from queue import SimpleQueue

STDIN = 0
READ_SIZE = 64 * 1024


class Input:
    """Reads in a thread of its own, when asked to: a file cannot be waited for otherwise.

    The thread is a daemon, so that one which waits for input does not keep the process from
    ending.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[asyncio.Future[bytes]] = SimpleQueue()
        threading.Thread(target=self._work, name="tether input", daemon=True).start()

    async def read(self) -> bytes:
        """What comes next; empty at the end, also of an input that cannot be read."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._asked.put(answer)
        return await answer

    def _work(self) -> None:
        while True:
            answer = self._asked.get()
            try:
                data = os.read(STDIN, READ_SIZE)
            except OSError:  # closed, or the terminal is gone
                data = b""
            try:
                self._loop.call_soon_threadsafe(_settle, answer, data)
            except RuntimeError:  # the loop was closed while nothing came
                return


def _settle(answer: asyncio.Future[bytes], data: bytes) -> None:
    if not answer.done():
        answer.set_result(data)
