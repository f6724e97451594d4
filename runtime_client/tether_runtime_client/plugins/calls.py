"""The actions that one life of a plugin has been given, until each has ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..dispatcher import Context
from ..plugin.declaration import Declaration
from ..plugin.wire import CancelledEnd, EndFrame, ErrorEnd, EventFrame, ObservationEnd
from ..protocol.errors import (
    ERRORS_BY_CODE,
    ActionError,
    FrameTooLarge,
    PluginError,
    PluginLost,
    error_from_code,
)
from ..protocol.observations import Observation
from ..protocol.plugin_events import OpaqueEvent
from ..protocol.plugin_observations import OpaqueObservation


@dataclass(frozen=True, slots=True)
class Call:
    """An action under way. `end` has its observation, or its error; None for a cancelled one."""

    number: int
    context: Context
    end: asyncio.Future[Observation | None]


class Calls:
    """What a plugin may tell, and of which actions. What it may not raises `ValueError`."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._running: dict[int, Call] = {}
        self._last = 0

    @property
    def any(self) -> bool:
        """Whether one runs."""
        return bool(self._running)

    def begin(self, context: Context) -> Call:
        """The plugin is given another action."""
        self._last += 1
        call = Call(self._last, context, asyncio.get_running_loop().create_future())
        self._running[call.number] = call
        return call

    def forget(self, call: Call) -> None:
        """The plugin was not given it after all."""
        del self._running[call.number]

    def told(self, frame: EventFrame) -> None:
        """Something happened in an action. Of one that has just ended it is dropped."""
        if frame.kind not in self._declaration.events:
            raise ValueError(f"an event {frame.kind}, which it has not declared")
        if frame.number > self._last:
            raise ValueError(f"an event of action number {frame.number}, which it was not given")
        call = self._running.get(frame.number)
        if call is not None and not call.end.done():
            call.context.emit(
                OpaqueEvent(action_id=call.context.action_id, kind=frame.kind, fields=frame.fields)
            )

    def ended(self, frame: EndFrame) -> None:
        """An action ended."""
        call = self._running.get(frame.number)
        if call is None:
            twice = frame.number <= self._last
            how = "a second time" if twice else "though it was not given that"
            raise ValueError(f"the end of action number {frame.number}, {how}")
        outcome = self._outcome(frame.end)
        del self._running[frame.number]
        if call.end.done():
            return
        if isinstance(outcome, Exception):
            call.end.set_exception(outcome)
            call.end.exception()  # a cancelled action's handler may not wait any more
        else:
            call.end.set_result(outcome)

    def lose(self, error: PluginLost) -> None:
        """The process is gone: each of them ends with an error like this."""
        calls, self._running = self._running, {}
        for call in calls.values():
            if not call.end.done():
                call.end.set_exception(PluginLost(error.message, hint=error.hint, **error.data))
                call.end.exception()

    def _outcome(
        self, end: ObservationEnd | ErrorEnd | CancelledEnd
    ) -> Observation | Exception | None:
        match end:
            case CancelledEnd():
                return None
            case ErrorEnd():
                return _error(end)
            case ObservationEnd():
                if end.kind.partition(".")[0] != self._declaration.name:
                    raise ValueError(f"an observation {end.kind}, which is not its own")
                return OpaqueObservation(kind=end.kind, fields=end.fields)


def _error(end: ErrorEnd) -> Exception:
    """As it was meant, where it is about an action; anything else is a defect of the plugin."""
    kind = ERRORS_BY_CODE.get(end.code, ActionError)
    if not issubclass(kind, ActionError | FrameTooLarge):
        return PluginError(end.message, hint=end.hint or None, code=end.code)
    return error_from_code(end.code, end.message, end.hint, dict(end.data))
