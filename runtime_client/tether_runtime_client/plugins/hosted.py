"""One plugin of this sandbox: started when it is needed, and anew when it was lost."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from pydantic import JsonValue

from ..dispatcher import Context
from ..plugin.installed import InstalledPlugin
from ..processes import ProcessStartError
from ..protocol.errors import PluginNotStarted
from ..protocol.observations import Observation
from ..protocol.plugin_actions import OpaqueAction
from ..protocol.plugin_events import PluginFailed, PluginStarted, PluginStopped
from ..protocol.plugin_observations import PluginInfo, PluginState
from .life import EOF_S, End
from .running import RunningPlugin, stopped
from .surroundings import Surroundings

BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)
"""After so many failed starts in a row, actions are refused for so long before it is tried again.
"""


class HostedPlugin:
    """One plugin, whichever process it has. For the loop. `stop` ends what runs."""

    def __init__(
        self, plugin: InstalledPlugin, config: Mapping[str, JsonValue], around: Surroundings
    ) -> None:
        self.plugin = plugin
        self._config = config
        self._around = around
        self._running: RunningPlugin | None = None
        self._starting: RunningPlugin | None = None
        self._change: asyncio.Task[Any] | None = None
        self._stopping = False
        self._closed = False
        self._ever_ran = False
        self._problem: str | None = None
        self._failures = 0
        self._retry_at = 0.0

    @property
    def name(self) -> str:
        """As it calls itself."""
        return self.plugin.declaration.name

    async def run(self, action: OpaqueAction, context: Context) -> Observation:
        """Have it carry out an action, started first if need be.

        Raises `PluginNotStarted`, `PluginLost`, and whatever the plugin ends the action with.
        """
        return await (await self._up()).run(action, context)

    async def start(self) -> None:
        """Start it, if it does not run. What goes wrong is told by an event."""
        await self._up()

    async def info(self, *, health: bool) -> PluginInfo:
        """How it stands; asked itself where that is wanted and it runs."""
        running = self._running
        problem = await running.health() if running is not None and health else self._problem
        declaration = self.plugin.declaration
        output = self._around.output_path(self.name)
        return PluginInfo(
            name=self.name,
            version=self.plugin.version,
            summary=declaration.summary,
            state=self._state,
            pid=running.life.pid if running is not None else None,
            problem=problem,
            actions=tuple(declaration.actions),
            skills=declaration.skills,
            ports=declaration.ports,
            output_path=output if self._ever_ran else None,
        )

    async def close(self, grace_s: float) -> None:
        """The same for good: it is not started any more."""
        self._closed = True
        await self.stop(grace_s)

    async def stop(self, grace_s: float) -> None:
        """End its process; actions that run there are lost. Twice is safe."""
        if self._starting is not None:
            self._starting.life.break_off("it was stopped while it started")
        while (change := self._under_way) is not None:
            await asyncio.wait([change])
        if self._running is not None:
            self._stopping = True
            await asyncio.shield(self._begin(self._stop(self._running, grace_s)))

    def hold(self) -> None:
        """Let it wait when it tells more than a socket holds. Twice is safe."""
        if self._running is not None:
            self._running.life.hold()

    def release(self) -> None:
        """Undo that. Twice is safe."""
        if self._running is not None:
            self._running.life.release()

    # --- its life

    @property
    def _state(self) -> PluginState:
        if self._starting is not None:
            return "starting"
        if self._running is not None:
            return "running"
        return "idle" if self._problem is None else "failed"

    async def _up(self) -> RunningPlugin:
        """The process, which is started where there is none. Who asks meanwhile waits too."""
        while self._running is None or self._stopping:
            change = self._under_way
            if change is None:
                self._refuse_too_soon()
                change = self._begin(self._start())
            started = await asyncio.shield(change)
            if isinstance(started, RunningPlugin):
                return started
        return self._running

    def _begin(self, change: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """One change at a time: a start, a stop, or the end of what a lost process has left."""
        task = asyncio.create_task(change)
        self._change = task
        task.add_done_callback(_noted)
        return task

    @property
    def _under_way(self) -> asyncio.Task[Any] | None:
        return None if self._change is None or self._change.done() else self._change

    async def _start(self) -> RunningPlugin:
        began = time.monotonic()
        if self._closed:
            raise PluginNotStarted("the runtime client is stopping: no plugin is started any more")
        try:
            running = RunningPlugin(self.plugin, self._config, self._around)
        except ProcessStartError as problem:
            raise self._failed(f"no process can be had for it: {problem.message}") from None
        except (OSError, ValueError) as problem:
            raise self._failed(f"its process cannot be prepared: {problem}") from None
        self._ever_ran, self._starting = True, running
        try:
            problem_of_start = await running.started()
        finally:
            self._starting = None
        if problem_of_start is not None:
            if running.has_said_why:  # it ends by itself then
                await running.life.ends_within(EOF_S)
            running.life.break_off(problem_of_start)
            await running.life.gone
            raise self._failed(problem_of_start, running)
        self._running, self._problem, self._failures = running, None, 0
        running.life.ended.add_done_callback(lambda ended: self._ended(running, ended.result()))
        self._around.emit(
            PluginStarted(
                plugin=self.name,
                version=self.plugin.version,
                pid=running.life.pid,
                duration_s=time.monotonic() - began,
            )
        )
        return running

    def _failed(self, reason: str, running: RunningPlugin | None = None) -> PluginNotStarted:
        """Note and tell that a start came to nothing; returns the error for whoever waits."""
        self._problem = reason
        self._failures += 1
        wait_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]
        self._retry_at = time.monotonic() + wait_s
        self._tell_failure(reason, running)
        output = running.life.output if running is not None else None
        return PluginNotStarted(
            f"the plugin {self.name!r} did not start: {reason}",
            plugin=self.name,
            output=output.tail[-2000:] if output is not None else "",
            output_path=output.path if output is not None else None,
        )

    def _refuse_too_soon(self) -> None:
        left_s = self._retry_at - time.monotonic()
        if self._failures and left_s > 0:
            raise PluginNotStarted(
                f"the plugin {self.name!r} has failed to start {self._failures} times, lastly:"
                f" {self._problem}",
                hint=f"It is not tried again for {math.ceil(left_s)} s",
                plugin=self.name,
            )

    async def _stop(self, running: RunningPlugin, grace_s: float) -> None:
        try:
            await running.life.stop(grace_s)
        finally:
            self._stopping = False
        self._around.emit(PluginStopped(plugin=self.name))

    def _ended(self, running: RunningPlugin, end: End) -> None:
        """Its process ended, asked or not."""
        self._running = None
        if self._stopping:
            running.lose(stopped(self.name))
            return
        self._problem = running.how_it_ended(end)
        self._tell_failure(self._problem, running, end)
        running.lose(running.lost(end))
        if self._under_way is None:
            self._begin(_gone(running))

    def _tell_failure(
        self, reason: str, running: RunningPlugin | None, end: End | None = None
    ) -> None:
        life = running.life if running is not None else None
        if end is None and life is not None and life.ended.done():
            end = life.ended.result()
        self._around.emit(
            PluginFailed(
                plugin=self.name,
                reason=reason,
                exit_code=end.exit_code if end is not None else None,
                output=life.output.tail if life is not None else "",
                output_path=life.output.path if life is not None else None,
            )
        )


def _noted(change: asyncio.Task[Any]) -> None:
    """Whoever waits has its exception, if anybody does."""
    if not change.cancelled():
        change.exception()


async def _gone(running: RunningPlugin) -> None:
    await asyncio.shield(running.life.gone)
