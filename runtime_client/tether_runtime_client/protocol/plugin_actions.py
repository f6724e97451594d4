"""Actions of plugins, and about them.

A plugin's own action is a class of its own, derived from `PluginAction`. Who does not have that
class (the client, a server that lacks the package, a history that is read years later) handles it
as an `OpaqueAction`: the same fields, unread.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .action import Action

PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=128)]
"""What a plugin calls its own: `weather.lookup`, with the plugin's name before the dot."""


class PluginAction(Action):
    """The base of plugins' own actions: `action: Literal["weather.lookup"] = "weather.lookup"`."""


class OpaqueAction(Action):
    """A plugin's action as it travels and as it is kept; `fields` are those of its class."""

    action: Literal["plugin"] = "plugin"
    kind: Kind
    fields: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def plugin(self) -> str:
        """The name of the plugin that handles it."""
        return self.kind.partition(".")[0]


class ListPluginsAction(Action):
    """List the plugins that this sandbox has → `ListPluginsObservation`.

    With `health` each one that runs is asked how it is. None is started for it.
    """

    action: Literal["list_plugins"] = "list_plugins"
    health: bool = False


class PluginStopAction(Action):
    """End a plugin's process; its next action starts it anew → `DoneObservation`."""

    action: Literal["plugin_stop"] = "plugin_stop"
    plugin: PluginName
