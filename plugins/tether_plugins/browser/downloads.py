"""Files that pages give."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.browser import BrowserDownload

from . import limits
from .failures import plain_message
from .files import FileStore, plain_name
from .limits import cut

if TYPE_CHECKING:
    from playwright.async_api import Download


class Downloads:
    """Those of one context. One is told when it began, and again when it is over."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._running: dict[asyncio.Task[BrowserDownload], BrowserDownload] = {}
        self._ended: deque[BrowserDownload] = deque(maxlen=limits.ENTRIES)
        self._told: set[asyncio.Task[BrowserDownload]] = set()

    def began(self, download: Download) -> None:
        """A page gives a file."""
        begun = BrowserDownload(
            url=cut(download.url, limits.ENTRY),
            suggested_name=cut(download.suggested_filename, limits.NAME),
            state="running",
        )
        task = asyncio.create_task(self._take(download, begun))
        self._running[task] = begun
        task.add_done_callback(self._over)

    async def wait(self, timeout_s: float) -> None:
        """For those that were not told of yet, at most so long."""
        waited = [task for task in self._running if task not in self._told]
        if waited:
            await asyncio.wait(waited, timeout=timeout_s)

    def take(self) -> tuple[BrowserDownload, ...]:
        """What is new: ended ones, and running ones that were not told yet."""
        new = [one for task, one in self._running.items() if task not in self._told]
        ended = list(self._ended)
        self._ended.clear()
        self._told.update(self._running)
        return tuple([*ended, *new][-limits.ENTRIES :])

    def stop(self) -> None:
        """Give up what still runs."""
        for task in self._running:
            task.cancel()

    async def _take(self, download: Download, begun: BrowserDownload) -> BrowserDownload:
        try:
            target = self._files.new(plain_name(download.suggested_filename))
            await download.save_as(target)
            size = self._files.adopt(target)
        except Exception as problem:
            said = cut(plain_message(problem), limits.ENTRY)
            return _changed(begun, state="failed", problem=said)
        return _changed(begun, state="done", path=str(target), size=size)

    def _over(self, task: asyncio.Task[BrowserDownload]) -> None:
        del self._running[task]
        self._told.discard(task)
        if not task.cancelled():
            self._ended.append(task.result())


def _changed(download: BrowserDownload, **fields: object) -> BrowserDownload:
    return download.model_copy(update=fields)
