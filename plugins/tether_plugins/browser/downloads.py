"""Files that pages give."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.browser import BrowserDownload
from tether_runtime_client.watching.inotify import Inotify

from . import limits
from .failures import plain_message
from .files import FileStore, plain_name
from .limits import cut

if TYPE_CHECKING:
    from playwright.async_api import Download


_CHANGES = Inotify()

BREATH_S = 0.1
"""Between two looks at what is written without a pause."""


class Downloads:
    """Those of one context. One is told when it began, and again when it is over.

    `begun` is set by each; whoever waits for one clears it before.
    """

    def __init__(self, files: FileStore, incoming: Path, limit: int) -> None:
        self.begun = asyncio.Event()
        self._files = files
        self._incoming = incoming
        self._limit = limit
        self._too_large: set[asyncio.Task[BrowserDownload]] = set()
        self._guard: asyncio.Task[None] | None = None
        self._downloads: dict[asyncio.Task[BrowserDownload], Download] = {}
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
        self.begun.set()
        self._downloads[task] = download
        if self._guard is None and self._incoming.is_dir():
            self._guard = asyncio.create_task(self._watch())
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
        if self._guard is not None:
            self._guard.cancel()

    async def _watch(self) -> None:
        """Ends them where they take too much: the kernel tells of what is written."""
        changed = asyncio.Event()

        def tell(_: object) -> None:
            changed.set()

        with suppress(OSError):  # the user has no watches left
            number = _CHANGES.add(str(self._incoming), tell)
            try:
                while True:
                    await changed.wait()
                    changed.clear()
                    if taken_by(self._incoming) > self._limit:
                        await self._cancel()
                    await asyncio.sleep(BREATH_S)
            finally:
                _CHANGES.remove(number, tell)

    async def _cancel(self) -> None:
        self._too_large.update(self._running)
        for task in list(self._running):
            with suppress(Exception):  # it may be over by now
                await self._downloads[task].cancel()

    async def _take(self, download: Download, begun: BrowserDownload) -> BrowserDownload:
        try:
            target = self._files.new(plain_name(download.suggested_filename))
            await download.save_as(target)
            size = self._files.adopt(target)
            await download.delete()
        except Exception as problem:
            said = cut(plain_message(problem), limits.ENTRY)
            if asyncio.current_task() in self._too_large:
                said = f"what is downloaded takes more than {self._limit:,} bytes"
            return _changed(begun, state="failed", problem=said)
        return _changed(begun, state="done", path=str(target), size=size)

    def _over(self, task: asyncio.Task[BrowserDownload]) -> None:
        del self._running[task], self._downloads[task]
        self._too_large.discard(task)
        if not self._running and self._guard is not None:
            self._guard.cancel()
            self._guard = None
        self._told.discard(task)
        if not task.cancelled():
            self._ended.append(task.result())


def taken_by(folder: Path) -> int:
    """Bytes of the files there, of which some may go meanwhile."""
    size = 0
    for path in folder.iterdir():
        with suppress(OSError):
            size += path.stat().st_size
    return size


def _changed(download: BrowserDownload, **fields: object) -> BrowserDownload:
    return download.model_copy(update=fields)
