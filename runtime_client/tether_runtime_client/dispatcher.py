"""From an accepted action to its handler, and from the handler's end to the final event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .protocol.actions import Action
from .protocol.errors import (
    ActionCancelled,
    InternalError,
    NotCancellable,
    TetherError,
    UnsupportedAction,
)
from .protocol.events import Event
from .protocol.observations import ErrorObservation, Observation, error_observation
from .recorder import Recorder

log = logging.getLogger(__name__)

A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler knows beside its action."""

    action_id: str
    emit: Callable[[Event], None]


Handle = Callable[[A, Context], Awaitable[Observation]]
Lane = Callable[[A], str]
Tell = Callable[[Observation | Exception], None]
"""Takes how an action ended. The first word counts."""

Begin = Callable[[A, Context, Tell], bool]
"""Starts the action in this very call, and tells its end when it is there; False, and nothing
was started, where `handle` has to. No task stands between: each costs turns of the loop.
"""


@dataclass(frozen=True, slots=True)
class Handler:
    """How one action type is handled. Actions that share a lane run one after the other, in the
    order they were accepted; without a lane they start at once. `begin` is asked first, when
    nothing is before the action in its lane. A `cancellable` one may be ended by `cancel`.
    """

    handle: Handle[Any]
    lane: Lane[Any] | None = None
    begin: Begin[Any] | None = None
    cancellable: bool = False


class Dispatcher:
    """The handler table, by exact action type; a second registration is refused."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._handlers: dict[type[Action], Handler] = {}
        self._lanes: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: dict[str, Tell] = {}
        self._cancellable: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def register(
        self,
        kind: type[A],
        handle: Handle[A],
        *,
        lane: Lane[A] | None = None,
        begin: Begin[A] | None = None,
        cancellable: bool = False,
    ) -> None:
        """Handle actions of exactly this type from now on."""
        if kind in self._handlers:
            raise ValueError(f"{kind.__name__} has a handler already")
        self._handlers[kind] = Handler(handle, lane, begin, cancellable)

    def submit(self, action_id: str, action: Action) -> None:
        """Accept an action and start it, unless its id was accepted before.

        Raises a `TetherError` when it is not accepted; it left no trace then.
        """
        if self._recorder.knows(action_id):
            return  # its events tell, however often it is asked for
        handler = self._handlers.get(type(action))
        if handler is None:
            raise UnsupportedAction(f"this sandbox has no handler for {action.action!r} actions")
        if self._closing:
            raise ActionCancelled(
                "the runtime client is stopping: the action was not started",
                hint="Nothing of it was done: run it again once the sandbox runs",
            )
        lane = handler.lane(action) if handler.lane else None
        self._recorder.accept(action_id, action)
        self._start(handler, action_id, action, lane)

    def cancel(self, action_id: str) -> None:
        """End a running action of a kind that can be cancelled; it ends with `ActionCancelled`.

        Raises `NotCancellable` for any other id.
        """
        task = self._cancellable.get(action_id)
        if task is None:
            raise NotCancellable(f"no action {action_id!r} that can be cancelled is running")
        task.cancel()

    async def close(self) -> None:
        """Cancel what runs and wait for it. Every action still gets its final event."""
        self._closing = True
        for tell in list(self._begun.values()):
            tell(ActionCancelled("the runtime client was stopped"))
        await asyncio.sleep(0)  # a task that never began could not tell its end
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, handler: Handler, action_id: str, action: Action, lane: str | None) -> None:
        before = self._lanes.get(lane) if lane else None
        context = Context(action_id, self._recorder.emit)
        begin = handler.begin if before is None else None
        if begin is not None and self._begin(begin, action, context, lane):
            return
        work = _handle(handler, action, context, before)
        task = asyncio.create_task(self._finish(action_id, action, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if handler.cancellable:
            self._cancellable[action_id] = task
        if lane:
            self._lanes[lane] = task
            task.add_done_callback(lambda done: self._leave_lane(lane, done))

    def _begin(self, begin: Begin[Any], action: Action, context: Context, lane: str | None) -> bool:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(outcome: Observation | Exception) -> None:
            if over.done():
                return
            over.set_result(None)
            self._begun.pop(context.action_id, None)
            if lane:
                self._leave_lane(lane, over)
            self._end(context.action_id, action, outcome)

        try:
            if not begin(action, context, tell):
                return False
        except Exception as error:
            tell(error)
        if not over.done():
            self._begun[context.action_id] = tell
            if lane:
                self._lanes[lane] = over
        return True

    def _leave_lane(self, lane: str, left: asyncio.Future[None]) -> None:
        if self._lanes.get(lane) is left:
            del self._lanes[lane]

    async def _finish(self, action_id: str, action: Action, work: Awaitable[Observation]) -> None:
        outcome: Observation | Exception
        try:
            outcome = await work
        except asyncio.CancelledError:
            why = "the runtime client was stopped" if self._closing else "it was cancelled"
            outcome = ActionCancelled(why)
        except Exception as error:
            outcome = error
        self._cancellable.pop(action_id, None)
        self._end(action_id, action, outcome)

    def _end(self, action_id: str, action: Action, outcome: Observation | Exception) -> None:
        if isinstance(outcome, Observation):
            self._recorder.finish(action_id, outcome)
            return
        if not isinstance(outcome, Exception):
            outcome = TypeError(f"it returned {outcome!r}, which is no observation")
        self._recorder.finish(action_id, _failure(outcome, action))


async def _handle(
    handler: Handler, action: Action, context: Context, before: asyncio.Future[None] | None
) -> Observation:
    if before is not None:
        await asyncio.wait([before])
    return await handler.handle(action, context)


def _failure(error: Exception, action: Action) -> ErrorObservation:
    """What a handler raised, as the action's end; what it should not have raised is logged."""
    if isinstance(error, TetherError):
        return error_observation(error)
    log.error("the handler of a %s action failed", action.action, exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return error_observation(InternalError(f"the action's handler failed: {text}"))
