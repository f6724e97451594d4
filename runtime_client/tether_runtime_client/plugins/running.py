"""A plugin's process and the conversation with it, from its start frame to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from itertools import count
from typing import Any

from pydantic import JsonValue

from ..dispatcher import Context
from ..plugin.installed import InstalledPlugin
from ..plugin.wire import (
    ActionFrame,
    AnswerFrame,
    AskFrame,
    CancelFrame,
    EndFrame,
    EventFrame,
    FailedFrame,
    FromPlugin,
    HealthFrame,
    HealthyFrame,
    StartedFrame,
    StartFrame,
    packed,
)
from ..protocol.errors import FrameTooLarge, PluginError, PluginLost
from ..protocol.message import changed
from ..protocol.observations import Observation
from ..protocol.plugin_actions import OpaqueAction
from ..shell.family import Family
from .calls import Call, Calls
from .life import End, Life
from .output import PluginOutput
from .spawning import marked, spawn
from .surroundings import Surroundings

CANCEL_S = 5.0
"""How long a cancelled action may take to end; then its end is not waited for any more."""

MOST_QUESTIONS = 4096
"""How many a plugin may ask before the first is answered."""

HEALTH_S = 5.0
"""How long a plugin may take to say how it is."""


class RunningPlugin:
    """One process. Making it starts it, and raises a ProcessStartError or an OSError."""

    def __init__(
        self, plugin: InstalledPlugin, config: Mapping[str, JsonValue], around: Surroundings
    ) -> None:
        self._plugin = plugin
        self._around = around
        self._calls = Calls(plugin.declaration)
        self._ready: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._checks: dict[int, asyncio.Future[str | None]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._oom_mark = around.oom.mark()
        name = plugin.declaration.name
        state = str(around.state_folder(name))
        spawned = spawn(PluginOutput(around.output_path(name)))
        self.life = Life(spawned, around.registry, self._on_frame)
        try:
            self.life.send(self._start_frame(config, state, spawned.family))
        except BaseException:
            self.life.break_off("it could not be told what it is")
            raise

    def _start_frame(
        self, config: Mapping[str, JsonValue], state: str, family: Family
    ) -> StartFrame:
        plugin, around = self._plugin, self._around
        return StartFrame(
            declaration=plugin.declaration,
            config=dict(config),
            path=plugin.path,
            environment=packed(marked(around.environment.of_commands, family)),
            mark=family.mark.limit,
            prefix=plugin.prefix,
            state=state,
            workdir=_workdir(),
            plugins=str(around.plugins),
            skills=str(around.skills),
        )

    async def started(self) -> str | None:
        """Wait until it is ready: None, or why it is not. Its process may still be there then."""
        limit_s = self._plugin.declaration.start_timeout_s
        await self._first(self._ready, limit_s)
        if self._ready.done():
            return self._ready.result()
        if self.life.ended.done():
            return self.how_it_ended(self.life.ended.result())
        return f"it was not ready within {limit_s:g} s"

    @property
    def has_said_why(self) -> bool:
        """Whether it told that it cannot start."""
        return self._ready.done() and self._ready.result() is not None

    async def run(self, action: OpaqueAction, context: Context) -> Observation:
        """Have it carry out an action. Cancelled, it has the plugin end it."""
        await self.life.link.room()
        if self.life.ended.done():
            raise self.lost(self.life.ended.result())
        self._oom_mark = self._around.oom.mark()
        call = self._calls.begin(context)
        frame = ActionFrame(number=call.number, action_id=context.action_id, action=action)
        try:
            self.life.send(frame)
        except ValueError as problem:
            self._calls.forget(call)
            raise FrameTooLarge(f"the action cannot be given to the plugin: {problem}") from None
        self.life.watch(self._calls.any)
        try:
            outcome = await asyncio.shield(call.end)
        except asyncio.CancelledError:
            return await self._cancel(call)
        except PluginError as defect:
            path = self.life.output.path
            defect.data = {"plugin": action.plugin, "output_path": path, **defect.data}
            raise
        if outcome is not None:
            return outcome
        name = self._plugin.declaration.name
        if self.life.stopping:
            raise stopped(name)
        raise PluginError(f"the plugin {name!r} cancelled the action, which nobody had asked for")

    async def health(self) -> str | None:
        """None where it is well, else what is wrong."""
        number = next(self._numbers)
        answer = self._checks[number] = asyncio.get_running_loop().create_future()
        try:
            self.life.send(HealthFrame(number=number))
            await self._first(answer, HEALTH_S)
        finally:
            del self._checks[number]
        return answer.result() if answer.done() else f"it did not answer within {HEALTH_S:.0f} s"

    def lose(self, error: PluginLost) -> None:
        """Its process has ended, and with it its actions: each by an error like this."""
        self._calls.lose(error)

    def lost(self, end: End) -> PluginLost:
        """What an action ends with that ran when the process ended so."""
        name = self._plugin.declaration.name
        kills = self._oom_kills(end)
        return PluginLost(
            f"the plugin {name!r} was lost: {self.how_it_ended(end)}",
            plugin=name,
            exit_code=end.status.code if end.status and not end.fault else None,
            signal=end.status.signal if end.status and not end.fault else None,
            oom_kills=kills,
        )

    def how_it_ended(self, end: End) -> str:
        """In words."""
        if end.fault is not None:
            return end.fault
        if end.status is None or (end.status.signal is None and end.status.code is None):
            return "its process ended, and nobody knows how"
        if end.status.signal is None:
            return f"its process ended by itself, with exit code {end.status.code}"
        memory = " because memory had run out" if self._oom_kills(end) else ""
        return f"its process was ended by signal {end.status.signal}{memory}"

    def _oom_kills(self, end: End) -> int:
        killed = end.fault is None and end.status is not None and end.status.signal is not None
        return self._around.oom.since(self._oom_mark) if killed else 0

    async def _first(self, answer: asyncio.Future[Any], limit_s: float) -> None:
        """Wait for the answer, the end of its process, or that of the time."""
        ended: asyncio.Future[Any] = self.life.ended
        await asyncio.wait([answer, ended], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)

    async def _cancel(self, call: Call) -> Observation:
        """The plugin may still come to an observation: what there was until then."""
        try:
            self.life.send(CancelFrame(number=call.number))
            await asyncio.wait([call.end], timeout=CANCEL_S)
        finally:
            given_up = call.end.cancel()  # what it tells of it from now on is dropped
        outcome = None if given_up or call.end.exception() else call.end.result()
        if outcome is None:
            raise asyncio.CancelledError
        return outcome

    # --- what it says

    def _on_frame(self, frame: FromPlugin) -> None:
        match frame:
            case EventFrame():
                self._calls.told(frame)
            case EndFrame():
                self._calls.ended(frame)
                self.life.watch(self._calls.any)
            case AskFrame():
                self._begin_answer(frame)
            case HealthyFrame():
                check = self._checks.get(frame.number)
                if check is not None and not check.done():
                    check.set_result(frame.problem)
            case StartedFrame() | FailedFrame():
                if self._ready.done():
                    raise ValueError("how its start went, a second time")
                self._ready.set_result(None if isinstance(frame, StartedFrame) else frame.reason)

    def _begin_answer(self, ask: AskFrame) -> None:
        if len(self._answering) >= MOST_QUESTIONS:
            raise ValueError(f"more than {MOST_QUESTIONS:,} questions at once")
        task = asyncio.create_task(self._answer(ask))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, ask: AskFrame) -> None:
        sessions = self._around.sessions
        answer = AnswerFrame(number=ask.number)
        try:
            if ask.what == "folder":
                answer = changed(answer, folder=sessions.folder_of(ask.session))
            else:
                exported = packed(await sessions.environment_of(ask.session))
                answer = changed(answer, environment=exported)
        except OSError as problem:
            answer = changed(answer, problem=str(problem))
        self.life.send(answer)


def stopped(name: str) -> PluginLost:
    """What an action ends with that ran when its plugin was stopped."""
    return PluginLost(f"the plugin {name!r} was stopped", plugin=name)


def _workdir() -> str:
    with contextlib.suppress(FileNotFoundError):
        return os.getcwd()
    return "/"
