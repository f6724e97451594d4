"""All plugins of this sandbox, as they are installed, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from pydantic import JsonValue

from ..dispatcher import Context
from ..plugin.installed import InstalledPlugin, installed_plugins
from ..protocol.errors import PluginInvalid, PluginMissing, PluginNotStarted
from ..protocol.observations import DoneObservation, Observation
from ..protocol.plugin_actions import ListPluginsAction, OpaqueAction, PluginStopAction
from ..protocol.plugin_events import PluginFailed
from ..protocol.plugin_observations import ListPluginsObservation, PluginInfo
from .hosted import HostedPlugin
from .surroundings import Surroundings

log = logging.getLogger(__name__)

STOP_S = 5.0
"""How long a plugin may take to end in good order when somebody asks for it."""

Config = Mapping[str, Mapping[str, JsonValue]]


class Plugins:
    """Handles the actions of plugins, and those about them. Reads the folder when it is made."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self._around = around
        self._hosted: dict[str, HostedPlugin] = {}
        self._invalid: dict[str, PluginInvalid] = {}
        for name, found in installed_plugins(around.plugins).items():
            if isinstance(found, InstalledPlugin):
                self._hosted[name] = HostedPlugin(found, config.get(name, {}), around)
            else:
                self._invalid[name] = found

    async def run(self, action: OpaqueAction, context: Context) -> Observation:
        """Have the plugin whose action it is carry it out."""
        plugin = self._named(action.plugin)
        actions = plugin.plugin.declaration.actions
        if action.kind not in actions:
            raise PluginMissing(
                f"the plugin {action.plugin!r} has no action {action.kind!r}; it has"
                f" {', '.join(actions) or 'none'}",
                hint="A newer version of the plugin may have it, or its name is another",
            )
        return await plugin.run(action, context)

    async def list_all(self, action: ListPluginsAction, _: Context) -> ListPluginsObservation:
        """How each of them stands."""
        asked = [plugin.info(health=action.health) for plugin in self._hosted.values()]
        infos = [*(await asyncio.gather(*asked)), *map(_invalid_info, self._invalid.items())]
        return ListPluginsObservation(plugins=tuple(sorted(infos, key=lambda info: info.name)))

    async def stop(self, action: PluginStopAction, _: Context) -> DoneObservation:
        """End a plugin's process, if it has one."""
        await self._named(action.plugin).stop(STOP_S)
        return DoneObservation()

    async def start_with_the_client(self) -> None:
        """Start those that are to run from the beginning; what goes wrong is told by events."""
        for name, problem in self._invalid.items():
            self._around.emit(PluginFailed(plugin=name, reason=problem.message))
        wanted = [
            plugin.start()
            for plugin in self._hosted.values()
            if plugin.plugin.declaration.start == "sandbox"
        ]
        await asyncio.gather(*wanted, return_exceptions=True)

    async def close(self, grace_s: float) -> None:
        """End all of them for good, those that do not stop within the grace by force."""
        ends = [plugin.close(grace_s) for plugin in self._hosted.values()]
        for problem in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(problem, Exception):
                log.error("a plugin could not be ended", exc_info=problem)

    def hold_output(self) -> None:
        """What they tell and print waits."""
        for plugin in self._hosted.values():
            plugin.hold()

    def release_output(self) -> None:
        """It goes on. Twice is safe."""
        for plugin in self._hosted.values():
            plugin.release()

    def _named(self, name: str) -> HostedPlugin:
        """Raises `PluginMissing`, which says what there is, and `PluginNotStarted` for one that
        cannot be used as it is installed.
        """
        if name in self._invalid:
            problem = self._invalid[name]
            raise PluginNotStarted(
                f"the plugin {name!r} cannot be used: {problem.message}", hint=problem.hint
            )
        if name not in self._hosted:
            there = ", ".join(self._hosted) or "none"
            raise PluginMissing(f"this sandbox has no plugin {name!r}; it has {there}")
        return self._hosted[name]


def _invalid_info(found: tuple[str, PluginInvalid]) -> PluginInfo:
    name, problem = found
    return PluginInfo(name=name, version="", state="failed", problem=problem.message)
