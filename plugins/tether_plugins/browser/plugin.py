"""The plugin's class: an action each, done in the context that it names."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tether_runtime_client.plugin import ActionContext, Plugin, handles
from tether_runtime_client.protocol.browser import (
    BrowseInteractiveAction,
    BrowserCloseAction,
    BrowserContextObservation,
    BrowserInfo,
    BrowserOpenAction,
    BrowserOutputObservation,
    BrowserSaveAction,
    BrowseURLAction,
)
from tether_runtime_client.protocol.errors import (
    ActionError,
    BrowserError,
    BrowserLost,
    BrowserStepFailed,
)

from . import limits
from .config import BrowserConfig
from .failures import StepProblem, in_words, reason_of
from .files import FileStore
from .limits import cut
from .tabs import ASKING, CRASHED, UNRESPONSIVE, answers
from .telling import Work, observation

if TYPE_CHECKING:
    from .contexts import Contexts, Lost, Slot
    from .engine import Engine
    from .session import Session

CLOSED = re.compile("has been closed|(Connection|Browser) closed|closed while")
"""The page, or all of the browser."""

GRACE_S = 2.0
"""How much later than its own timeout a step is given up that does not heed it."""


class Browser(Plugin[BrowserConfig]):
    """Contexts by name, in one browser, which the first action starts."""

    async def start(self) -> None:
        """Nothing is started: a browser that cannot come up is the action's error."""
        from .contexts import Contexts
        from .engine import Engine

        self._files = FileStore(self.places.state / "files", self.config.files_bytes)
        self._engine: Engine = Engine(self.config, self.places)
        self._contexts: Contexts = Contexts(self.config, self._engine, self._files)

    async def stop(self) -> None:
        """End the browser, and with it all pages."""
        await self._contexts.stop()
        await self._engine.close()

    @handles(BrowseURLAction)
    async def browse(
        self, action: BrowseURLAction, context: ActionContext
    ) -> BrowserOutputObservation:
        from .navigation import go

        slot = self._contexts.slot(action.context)
        async with slot.lock:
            work = Work()
            session = await self._session(slot, action, work)

            async def load() -> None:
                await go(session, action.url, action.wait_until, action.timeout_s * 1000)

            await self._do(session, work, "goto", 2 * action.timeout_s, load())
            return await self._observe(slot, session, action, work)

    @handles(BrowseInteractiveAction)
    async def interact(
        self, action: BrowseInteractiveAction, context: ActionContext
    ) -> BrowserOutputObservation:
        from .steps import STEPS

        slot = self._contexts.slot(action.context)
        async with slot.lock:
            work = Work()
            session = await self._session(slot, action, work)
            for step in action.steps:
                limit = action.step_timeout_s if step.timeout_s is None else step.timeout_s
                doing = STEPS[type(step)](session, step, max(limit, 0.001) * 1000)
                await self._do(session, work, step.step, 2 * limit, doing)
            await self._settle(session)
            return await self._observe(slot, session, action, work)

    @handles(BrowserOpenAction)
    async def open(
        self, action: BrowserOpenAction, context: ActionContext
    ) -> BrowserContextObservation:
        slot = self._contexts.slot(action.context)
        async with slot.lock:
            slot.settings = action.settings or self.config.context
            storage = self.places.workdir / action.storage if action.storage else None
            session = await self._contexts.open(slot, storage)
            slot.lost = None
            return _of(slot, tabs=session.tabs.listed({}), **asdict(slot.recorded))

    @handles(BrowserSaveAction)
    async def save(
        self, action: BrowserSaveAction, context: ActionContext
    ) -> BrowserContextObservation:
        from .storage import save

        slot = self._contexts.known(action.context)
        async with slot.lock:
            session = self._contexts.alive(slot)
            path = self.places.workdir / action.path
            try:
                await save(session.context, path)
            except Exception as problem:
                said = cut(in_words(problem), limits.MESSAGE)
                raise BrowserError(f"the context cannot be saved: {said}") from None
            return _of(slot, tabs=session.tabs.listed({}), storage_path=str(path))

    @handles(BrowserCloseAction)
    async def close(
        self, action: BrowserCloseAction, context: ActionContext
    ) -> BrowserContextObservation:
        slot = self._contexts.known(action.context)
        async with slot.lock:
            await self._contexts.close(slot)
            told = _of(slot, **asdict(slot.recorded))
            slot.settings = self.config.context
            return told

    async def _do(
        self, session: Session, work: Work, kind: str, limit_s: float, doing: Any
    ) -> None:
        """One step; its failure is told by its number."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit_s + GRACE_S):
                value = await doing
            if kind == "evaluate":
                work.keep(value)
        except ActionError:
            raise
        except TimeoutError:  # of a browser, or what drives it, that says nothing at all
            await self._engine.look()
            await _look_at(session)
            late = StepProblem("timeout", f"it took longer than {limit_s / 2:g} s")
            raise self._failed(session, work, kind, late) from None
        except Exception as problem:
            if CLOSED.search(str(problem)):
                await self._engine.look()
            await _look_at(session)
            raise self._failed(session, work, kind, problem) from None
        work.steps.append(round(time.monotonic() - began, 4))

    def _failed(self, session: Session, work: Work, kind: str, problem: Exception) -> ActionError:
        number = len(work.steps)
        if not self._engine.runs:
            return BrowserLost(
                f"{self._engine.end} while step {number} ({kind}) was done",
                step=number,
                kind=kind,
                results=work.results,
            )
        url, reason, said = _why(session, problem, kind)
        return BrowserStepFailed(
            f"step {number} ({kind}) failed: {said}",
            step=number,
            kind=kind,
            reason=reason,
            url=url,
            results=work.results,
        )

    async def _settle(self, session: Session) -> None:
        """What the steps began is let come: an answer, and the page that it is."""
        from .navigation import loaded

        await session.arrive(self.config.settle_s)
        tab = await session.usable() if not session.tabs else session.tab
        if tab.problem is None and not tab.loading:
            try:
                async with asyncio.timeout(self.config.settle_s + GRACE_S):
                    await loaded(session, "load", self.config.settle_s * 1000)
            except Exception:  # the page has crashed or hangs, which looking at it tells
                tab.loading = True

    async def _observe(
        self,
        slot: Slot,
        session: Session,
        action: BrowseURLAction | BrowseInteractiveAction,
        work: Work,
    ) -> BrowserOutputObservation:
        from .observe import Observer

        if not session.tabs:
            await session.new_tab()
        observer = Observer(
            session, self._files, action.omit, action.screenshot, self.config.observe_timeout_s
        )
        seen = await observer.look()
        if "downloads" not in action.omit:  # also those that began while it was looked at
            await session.downloads.wait(self.config.download_wait_s)
        if not seen.title:
            await self._engine.look()
        if not self._engine.runs:
            raise BrowserLost(f"{self._engine.end} while the page was looked at")
        lost, slot.lost = slot.lost, None
        return observation(session, action, work, seen, self._info(lost))

    def _info(self, lost: Lost | None) -> BrowserInfo:
        info = self._engine.info()
        if lost is None:
            return info
        told = {"state_lost": lost.words, "video_path": lost.video_path}
        return info.model_copy(update=told)

    async def _session(
        self, slot: Slot, action: BrowseURLAction | BrowseInteractiveAction, work: Work
    ) -> Session:
        began, before = time.monotonic(), slot.session
        session = await self._contexts.ready(slot)
        if session is not before:
            work.starting = time.monotonic() - began
        session.accept_dialogs = action.accept_dialogs
        session.prompt_text = action.prompt_text
        return session


async def _look_at(session: Session) -> None:
    """A page that hangs hinders every step."""
    tab = session.tab if session.tabs else None
    if tab is not None and tab.problem is None and not await answers(tab.page):
        tab.problem = UNRESPONSIVE


def _why(session: Session, problem: Exception, kind: str) -> tuple[str, str, str]:
    """The page's address, why a step failed on it, and that in words."""
    said = cut(in_words(problem), limits.MESSAGE)
    if not session.tabs:
        return "", "closed", said
    tab = session.tab
    if tab.problem is None:
        return cut(tab.page.url, limits.URL), reason_of(problem, kind), said
    reason = {CRASHED: "crashed", UNRESPONSIVE: "timeout", ASKING: "timeout"}.get(
        tab.problem, "closed"
    )
    advice = f"{tab.problem}; a goto takes a new page in its place"
    return cut(tab.page.url, limits.URL), reason, f"{cut(said, limits.MESSAGE // 2)} ({advice})"


def _of(slot: Slot, **fields: Any) -> BrowserContextObservation:
    return BrowserContextObservation(
        context=slot.name, is_open=slot.session is not None, settings=slot.settings, **fields
    )
