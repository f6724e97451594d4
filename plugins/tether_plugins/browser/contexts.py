"""The contexts of a sandbox, by their names."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tether_runtime_client.protocol.browser import ContextSettings
from tether_runtime_client.protocol.errors import BrowserError, BrowserLimit, NoSuchContext

from . import limits
from .config import BrowserConfig
from .engine import Engine
from .failures import plain_message
from .files import FileStore
from .limits import cut
from .session import Session


class Slot:
    """A context by its name: open or not. One action uses it at a time.

    `lost` says that the browser ended under it, until that was told.
    """

    def __init__(self, name: str, settings: ContextSettings) -> None:
        self.name = name
        self.settings = settings
        self.lock = asyncio.Lock()
        self.session: Session | None = None
        self.life = 0
        self.lost: str | None = None


class Contexts:
    """Opens them in the browser that runs now."""

    def __init__(self, config: BrowserConfig, engine: Engine, files: FileStore) -> None:
        self._config = config
        self._engine = engine
        self._files = files
        self._slots: dict[str, Slot] = {}

    def slot(self, name: str) -> Slot:
        """A new one, where there was none of that name."""
        if name not in self._slots:
            self._drop_unused()
            if len(self._slots) >= self._config.max_contexts:
                raise BrowserLimit(f"there are {len(self._slots)} contexts already")
            self._slots[name] = Slot(name, self._config.context)
        return self._slots[name]

    def known(self, name: str) -> Slot:
        """One that is there; raises `NoSuchContext`."""
        if name not in self._slots:
            raise NoSuchContext(f"there is no context {name!r}")
        return self._slots[name]

    def alive(self, slot: Slot) -> Session:
        """What is open; raises `NoSuchContext` if nothing is, or no longer."""
        if slot.session is None or slot.life != self._engine.starts or not self._engine.runs:
            raise NoSuchContext(f"the context {slot.name!r} is not open")
        return slot.session

    async def ready(self, slot: Slot) -> Session:
        """Its session, opened if it is not, in a browser that runs."""
        await self._engine.ready()
        if slot.session is not None and slot.life != self._engine.starts:
            slot.session.downloads.stop()
            slot.session = None
            slot.lost = "the browser had ended; its pages, cookies and storage are gone"
        if slot.session is None:
            return await self.open(slot, None)
        return slot.session

    async def open(self, slot: Slot, storage: Path | None) -> Session:
        """A new session in the place of the one before."""
        browser = await self._engine.ready()
        await self.close(slot)
        try:
            slot.session = await Session.open(
                slot.name, browser, slot.settings, storage, self._files, self._config.max_tabs
            )
        except BrowserLimit:
            raise
        except Exception as problem:
            said = cut(plain_message(problem), limits.MESSAGE)
            raise BrowserError(f"the context {slot.name!r} cannot be opened: {said}") from None
        slot.life = self._engine.starts
        return slot.session

    async def close(self, slot: Slot) -> str | None:
        """Close what is open; gives the path of its trace, if it has one."""
        session, slot.session = slot.session, None
        if session is None:
            return None
        alive = slot.life == self._engine.starts and self._engine.runs
        trace = await session.end_trace() if alive else None
        await session.close()
        return trace

    def _drop_unused(self) -> None:
        for name, slot in list(self._slots.items()):
            if slot.session is None and not slot.lock.locked():
                del self._slots[name]

    def stop(self) -> None:
        """Before the browser's end: nothing is downloaded any more."""
        for slot in self._slots.values():
            if slot.session is not None:
                slot.session.downloads.stop()
