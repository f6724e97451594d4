"""Actions of plugins, and about them. What does it is imported when it is needed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..dispatcher import Context
from ..environment import Environment
from ..oom_kills import OomKills
from ..plugin_glance import idle_plugins, plugin_files, starts_with_the_client
from ..protocol import plugin_actions as p
from ..protocol.observations import DoneObservation, Observation
from ..protocol.plugin_observations import ListPluginsObservation
from ..recorder import Recorder
from ..settings import ClientSettings
from .shell import Sessions

if TYPE_CHECKING:
    from ..plugins import Plugins

CLOSE_S = 1.5
"""How long plugins may take to end in good order when the client stops."""

CLOSE_LIMIT_S = 3.0
"""After that what is left of them is for the supervisor to end: the rest of the client's time is
for what they have told.
"""

log = logging.getLogger(__name__)


class PluginActions:
    """Handles `OpaqueAction`, `ListPluginsAction` and `PluginStopAction`. `close` ends plugins."""

    def __init__(
        self,
        recorder: Recorder,
        settings: ClientSettings,
        environment: Environment,
        sessions: Sessions,
        oom: OomKills,
    ) -> None:
        self._recorder = recorder
        self._settings = settings
        self._environment = environment
        self._sessions = sessions
        self._oom = oom
        self._folder = settings.plugins_folder
        self._made: Plugins | None = None

    async def run(self, action: p.OpaqueAction, context: Context) -> Observation:
        """Have the plugin whose action it is carry it out."""
        return await self._plugins().run(action, context)

    async def list_all(
        self, action: p.ListPluginsAction, context: Context
    ) -> ListPluginsObservation:
        """How each of them stands; while none was used, by a glance."""
        idle = idle_plugins(self._folder) if self._made is None else None
        if idle is not None:
            return ListPluginsObservation(plugins=idle)
        return await self._plugins().list_all(action, context)

    async def stop(self, action: p.PluginStopAction, context: Context) -> DoneObservation:
        """End a plugin's process."""
        return await self._plugins().stop(action, context)

    async def start(self) -> None:
        """Start the plugins that are to run from the beginning, where there are any."""
        if any(map(starts_with_the_client, plugin_files(self._folder))):
            await self._plugins().start_with_the_client()

    async def close(self) -> None:
        """End what runs."""
        if self._made is None:
            return
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._made.close(CLOSE_S)
        except TimeoutError:
            log.warning("something that plugins started has not ended: the supervisor will end it")

    def _plugins(self) -> Plugins:
        if self._made is None:
            from ..plugins import Plugins, Surroundings

            around = Surroundings(
                self._folder,
                self._settings.run_dir,
                self._settings.state,
                self._environment,
                self._sessions,
                self._oom,
                self._recorder.emit,
            )
            self._made = Plugins(self._settings.plugin_config, around)
            self._recorder.pace.add(self._made)
        return self._made
