"""The contexts of a sandbox, by their names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tether_runtime_client.protocol.browser import ContextSettings
from tether_runtime_client.protocol.errors import (
    ActionError,
    BrowserError,
    BrowserLimit,
    NoSuchContext,
)

from . import limits
from .config import BrowserConfig
from .engine import Engine
from .failures import plain_message
from .files import FileStore
from .limits import cut
from .recordings import Recorded
from .session import Session


@dataclass(frozen=True, slots=True)
class Lost:
    """What there is of a context whose browser ended."""

    video_path: str | None
    words: str = "the browser had ended; its pages, cookies and storage are gone"


class Slot:
    """A context by its name: open or not. One action uses it at a time.

    `lost` says that the browser ended under it, until that was told. `recorded` is what there is
    of the session that was closed last.
    """

    def __init__(self, name: str, settings: ContextSettings) -> None:
        self.name = name
        self.settings = settings
        self.lock = asyncio.Lock()
        self.session: Session | None = None
        self.life = 0
        self.lost: Lost | None = None
        self.recorded = Recorded()


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
            recorded = await slot.session.end_recordings(alive=False)
            slot.session = None
            slot.lost = Lost(recorded.video_path)
        if slot.session is None:
            return await self.open(slot, None)
        return slot.session

    async def open(self, slot: Slot, storage: Path | None) -> Session:
        """A new session in the place of the one before. A browser that proves dead is replaced."""
        await self.close(slot)
        try:
            return await self._open(slot, storage)
        except Exception as problem:
            await self._engine.look()
            if self._engine.runs:
                raise _not_opened(slot, problem) from None
        try:
            return await self._open(slot, storage)
        except Exception as problem:
            raise _not_opened(slot, problem) from None

    async def _open(self, slot: Slot, storage: Path | None) -> Session:
        browser = await self._engine.ready()
        slot.life = self._engine.starts
        slot.session = await Session.open(
            slot.name,
            browser,
            slot.settings,
            storage,
            self._files,
            self._engine.incoming,
            self._config,
        )
        return slot.session

    async def close(self, slot: Slot) -> None:
        """Close what is open."""
        session, slot.session = slot.session, None
        slot.recorded = Recorded()
        if session is not None:
            alive = slot.life == self._engine.starts and self._engine.runs
            slot.recorded = await session.end_recordings(alive=alive)
            await session.close()

    def _drop_unused(self) -> None:
        for name, slot in list(self._slots.items()):
            if slot.session is None and not slot.lock.locked():
                del self._slots[name]

    async def stop(self) -> None:
        """Before the browser's end: nothing is downloaded or recorded any more."""
        sessions = [slot.session for slot in self._slots.values() if slot.session is not None]
        for session in sessions:
            session.downloads.stop()
        await asyncio.gather(
            *(session.end_recordings(alive=self._engine.runs) for session in sessions)
        )


def _not_opened(slot: Slot, problem: Exception) -> ActionError:
    if isinstance(problem, ActionError):
        return problem
    said = cut(plain_message(problem), limits.MESSAGE)
    return BrowserError(f"the context {slot.name!r} cannot be opened: {said}")
