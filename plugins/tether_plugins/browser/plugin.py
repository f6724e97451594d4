"""The plugin's class: an action each, done in the context that it names."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from tether_runtime_client.plugin import ActionContext, Plugin, handles
from tether_runtime_client.protocol.browser import (
    BrowseInteractiveAction,
    BrowserCloseAction,
    BrowserContextObservation,
    BrowserOpenAction,
    BrowserOutputObservation,
    BrowserPart,
    BrowserSaveAction,
    BrowserTimings,
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
from .failures import StepProblem, plain_message, reason_of
from .files import FileStore
from .limits import cut

if TYPE_CHECKING:
    from .contexts import Contexts, Slot
    from .engine import Engine
    from .observe import Seen
    from .session import Session

_LOGGED: tuple[BrowserPart, ...] = ("console", "failed_requests", "dialogs")

CLOSED = re.compile("has been closed|Connection closed|closed while")
"""The page, or all of the browser."""

GRACE_S = 2.0
"""How much later than its own timeout a step is given up that does not heed it."""


class Work:
    """One action: what it did so far, and how long that took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.starting = 0.0
        self.steps: list[float] = []
        self.results: list[JsonValue] = []


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
        self._contexts.stop()
        await self._engine.close()

    @handles(BrowseURLAction)
    async def browse(
        self, action: BrowseURLAction, context: ActionContext
    ) -> BrowserOutputObservation:
        from .steps import go

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
                value = await self._do(session, work, step.step, 2 * limit, doing)
                if step.step == "evaluate":
                    self._keep_result(session, work, value)
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
            return _of(slot, tabs=session.listed({}))

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
                said = cut(plain_message(problem), limits.MESSAGE)
                raise BrowserError(f"the context cannot be saved: {said}") from None
            return _of(slot, tabs=session.listed({}), storage_path=str(path))

    @handles(BrowserCloseAction)
    async def close(
        self, action: BrowserCloseAction, context: ActionContext
    ) -> BrowserContextObservation:
        slot = self._contexts.known(action.context)
        async with slot.lock:
            trace = await self._contexts.close(slot)
            told = _of(slot, trace_path=trace)
            slot.settings = self.config.context
            return told

    async def _do(
        self, session: Session, work: Work, kind: str, limit_s: float, doing: Any
    ) -> JsonValue:
        """One step; its failure is told by its number."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit_s + GRACE_S):
                value: JsonValue = await doing
        except ActionError:
            raise
        except Exception as problem:
            if CLOSED.search(str(problem)):
                await self._engine.look()
            raise self._failed(session, work, kind, problem) from None
        work.steps.append(round(time.monotonic() - began, 4))
        return value

    def _failed(self, session: Session, work: Work, kind: str, problem: Exception) -> ActionError:
        number = len(work.steps)
        said = cut(plain_message(problem), limits.MESSAGE)
        if not self._engine.runs:
            return BrowserLost(
                f"the browser ended while step {number} ({kind}) was done",
                step=number,
                kind=kind,
                results=work.results,
            )
        if not session.tabs():
            url, reason = "", "closed"
        else:
            url = cut(session.tab.page.url, limits.URL)
            reason = "crashed" if session.tab.problem else reason_of(problem, kind)
        return BrowserStepFailed(
            f"step {number} ({kind}) failed: {said}",
            step=number,
            kind=kind,
            reason=reason,
            url=url,
            results=work.results,
        )

    def _keep_result(self, session: Session, work: Work, value: JsonValue) -> None:
        work.results.append(value)
        if sum(len(repr(each)) for each in work.results) > limits.RESULTS:
            work.results.pop()
            work.steps.pop()
            said = f"the values of all steps take more than {limits.RESULTS:,} bytes"
            raise self._failed(session, work, "evaluate", StepProblem("other", said))

    async def _settle(self, session: Session) -> None:
        """What the steps began is let come: an answer, and the page that it is."""
        from .steps import loaded

        await session.arrive(self.config.settle_s)
        tab = await session.usable() if not session.tabs() else session.tab
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

        if not session.tabs():
            await session.new_tab()
        if "downloads" not in action.omit:
            await session.downloads.wait(self.config.download_wait_s)
        observer = Observer(
            session, self._files, action.omit, action.screenshot, self.config.observe_timeout_s
        )
        seen = await observer.look()
        if not seen.title:
            await self._engine.look()
        if not self._engine.runs:
            raise BrowserLost("the browser ended while the page was looked at")
        return self._told(slot, session, action, work, seen)

    def _told(
        self,
        slot: Slot,
        session: Session,
        action: BrowseURLAction | BrowseInteractiveAction,
        work: Work,
        seen: Seen,
    ) -> BrowserOutputObservation:
        lost, slot.lost = slot.lost, None
        tab = session.tab
        parts: dict[str, Any] = {}
        omitted: dict[BrowserPart, int] = {}
        for name in _LOGGED:
            parts[name], count = getattr(session.log, name).take()
            if count and name not in action.omit:
                omitted[name] = count
        parts["downloads"] = session.downloads.take()
        parts["tabs"] = session.listed(seen.titles)
        for part in action.omit:
            parts.pop(part, None)
        return BrowserOutputObservation(
            url=cut(tab.page.url, limits.URL),
            title=seen.title,
            status=tab.status,
            loading=tab.loading,
            context=action.context,
            tab=tab.number,
            tree=seen.tree if "tree" not in action.omit else "",
            tree_path=seen.tree_path,
            focused=seen.focused,
            text=seen.text,
            text_path=seen.text_path,
            truncated=tuple(seen.truncated),
            omitted=omitted,
            screenshot=seen.screenshot,
            results=tuple(work.results),
            missing=dict(seen.missing),
            timings=_timings(seen, work) if "timings" not in action.omit else None,
            browser=self._engine.info(lost),
            **parts,
        )

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


def _of(slot: Slot, **fields: Any) -> BrowserContextObservation:
    return BrowserContextObservation(
        context=slot.name, is_open=slot.session is not None, settings=slot.settings, **fields
    )


def _timings(seen: Seen, work: Work) -> BrowserTimings:
    found = seen.timings if seen.timings is not None else BrowserTimings(total=0)
    return found.model_copy(
        update={
            "total": round(time.monotonic() - work.began, 4),
            "starting": round(work.starting, 4),
            "steps": tuple(work.steps),
        }
    )
