"""A plugin's process, once its environment is its own: load the plugin, and serve its client."""

from __future__ import annotations

import asyncio
import socket
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from ..protocol.errors import ActionError, FrameTooLarge, InvalidAction, PluginError, TetherError
from ..protocol.message import Message
from ..protocol.opaque import opaque_observation, typed_action
from .base import Plugin, PluginPlaces
from .context import HandlerContext, Questions, check_size
from .link import Link
from .load import Handling, Loaded, configured, load, method_of
from .wire import (
    ActionFrame,
    AnswerFrame,
    CancelFrame,
    CancelledEnd,
    EndFrame,
    ErrorEnd,
    FailedFrame,
    HealthFrame,
    HealthyFrame,
    ObservationEnd,
    PingFrame,
    PongFrame,
    StartedFrame,
    StartFrame,
    StopFrame,
    to_plugin_adapter,
    told,
)

CANCEL_S = 0.5
"""How long cancelled actions may take before the plugin is stopped all the same."""

FAILED = 1
"""The exit code of a process whose plugin did not start."""


def run(connection: socket.socket, start: bytes) -> int:
    """Serve until the client says stop, or is gone; returns the exit code."""
    link = Link(connection)
    frame = StartFrame.model_validate_json(start)
    try:
        loaded = load(frame.declaration)
        plugin = _made(loaded, frame)
    except BaseException as problem:
        return _tell_failed(link, problem)
    return asyncio.run(_Runner(link, loaded, plugin).serve())


def _made(loaded: Loaded, frame: StartFrame) -> Plugin[Any]:
    """Its configuration and its places are there before its own `__init__`, if it has one."""
    plugin = loaded.plugin.__new__(loaded.plugin)
    plugin.config = configured(loaded.config, frame.config)
    prefix = Path(frame.prefix) if frame.prefix is not None else None
    plugin.places = PluginPlaces(
        prefix,
        state=Path(frame.state),
        workdir=Path(frame.workdir),
        plugins=Path(frame.plugins),
        skills=Path(frame.skills),
    )
    plugin.__init__()  # type: ignore[misc]  # the object is made by now
    return plugin


def _tell_failed(link: Link, problem: BaseException) -> int:
    traceback.print_exception(problem)
    with suppress(OSError):
        link.send(FailedFrame(reason=_in_words(problem)))
    return FAILED


class _Runner:
    """Serves one client. Everything but `send` is on the loop."""

    def __init__(self, link: Link, loaded: Loaded, plugin: Plugin[Any]) -> None:
        self._link = link
        self._loaded = loaded
        self._plugin = plugin
        self._questions = Questions(link)
        self._running: dict[int, asyncio.Task[ObservationEnd]] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def serve(self) -> int:
        """From the plugin's own start to its stop."""
        self._link.read(self._on_frame, self._stop.set)
        try:
            await self._plugin.start()
        except Exception as problem:
            return _tell_failed(self._link, problem)
        self._send(StartedFrame())
        await self._stop.wait()
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=CANCEL_S)
        await self._plugin.stop()
        return 0

    def _send(self, frame: Message) -> None:
        try:
            self._link.send(frame)
        except OSError:  # the client has gone, and takes this process with it
            self._stop.set()

    def _on_frame(self, body: bytes) -> None:
        match to_plugin_adapter.validate_json(body):
            case ActionFrame() as frame:
                self._begin(frame)
            case CancelFrame(number=number) if number in self._running:
                self._running[number].cancel()
            case AnswerFrame() as frame:
                self._questions.answered(frame)
            case HealthFrame(number=number):
                check = asyncio.create_task(self._tell_health(number))
                self._checks.add(check)
                check.add_done_callback(self._checks.discard)
            case PingFrame():
                self._send(PongFrame())
            case StopFrame():
                self._stop.set()

    async def _tell_health(self, number: int) -> None:
        problem = None
        try:
            await self._plugin.health()
        except Exception as error:
            problem = _in_words(error)
        self._send(HealthyFrame(number=number, problem=problem))

    # --- actions

    def _begin(self, frame: ActionFrame) -> None:
        context = HandlerContext(
            frame.action_id, frame.number, self._link, self._questions, self._loaded.events
        )
        task = asyncio.create_task(self._handle(frame, context))
        self._running[frame.number] = task
        task.add_done_callback(partial(self._ended, frame.number, context))

    async def _handle(self, frame: ActionFrame, context: HandlerContext) -> ObservationEnd:
        handling = self._loaded.handlings[frame.action.kind]
        try:
            action = typed_action(frame.action, handling.action)
        except ValueError as problem:
            raise InvalidAction(
                f"{frame.action.kind}: {told(problem)}",
                hint="Have one version of the plugin on both sides: `tether plugins` names the one"
                " here, `tether plugins NAME` the sandbox's",
            ) from None
        try:
            found = await method_of(self._plugin, handling)(action, context)
        except SystemExit as problem:  # out of a task it would end the process, and all else in it
            raise RuntimeError(f"sys.exit({problem.code!r:.100}) was called") from problem
        return _observation_end(found, handling)

    def _ended(
        self, number: int, context: HandlerContext, task: asyncio.Task[ObservationEnd]
    ) -> None:
        """Called also for a task that was cancelled before its first step."""
        context.over = True
        del self._running[number]
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            end: ObservationEnd | ErrorEnd | CancelledEnd = _error_end(problem)
        else:
            end = CancelledEnd() if task.cancelled() else task.result()
        self._send(EndFrame(number=number, end=end))


def _observation_end(found: object, handling: Handling) -> ObservationEnd:
    if type(found) is not handling.observation:
        raise TypeError(f"it returned {found!r:.200}, which is no {handling.observation.__name__}")
    opaque = opaque_observation(found)
    check_size(opaque, "the observation")
    return ObservationEnd(kind=opaque.kind, fields=opaque.fields)


def _error_end(problem: BaseException) -> ErrorEnd:
    """An error that was meant goes on as it is; the traceback of a defect is in the output."""
    if isinstance(problem, ActionError | FrameTooLarge):
        error: TetherError = problem
    else:
        traceback.print_exception(problem)
        error = PluginError(f"the plugin's handler failed: {_in_words(problem)}")
    data = to_jsonable_python(error.data, fallback=repr, inf_nan_mode="constants")
    end = ErrorEnd(code=error.code, message=told(error.message), hint=told(error.hint), data=data)
    try:
        check_size(end, "the error")
    except FrameTooLarge as too_large:
        return ErrorEnd(code=error.code, message=told(f"{error.message} ({too_large.message})"))
    return end


def _in_words(problem: BaseException) -> str:
    if isinstance(problem, TetherError):
        return told(problem.message)
    return told(f"{type(problem).__name__}: {told(problem)}")
