"""Actions of plugins, and about them.

A plugin's own action is a class of its own, derived from `PluginAction`. Who does not have that
class (the client, a server that lacks the package, a history that is read years later) handles it
as an `OpaqueAction`: the same fields, unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Generic, Literal

from pydantic import Field, JsonValue
from typing_extensions import TypeVar  # typing's knows no default before Python 3.13

from .action import Action

if TYPE_CHECKING:
    from .plugin_observations import PluginObservation

O = TypeVar("O", bound="PluginObservation", default="PluginObservation")  # noqa: E741

PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=128)]
"""What a plugin calls its own: `weather.lookup`, with the plugin's name before the dot."""


class PluginAction(Action, Generic[O]):
    """The base of plugins' own actions; what one comes to stands in the brackets.

        class LookupAction(PluginAction[LookupObservation]):
            action: Literal["weather.lookup"] = "weather.lookup"
            city: str

    Fields are what JSON can hold, and models derived from `Message`; bytes travel as base64.
    """


class OpaqueAction(Action):
    """A plugin's action as it travels and as it is kept → `OpaqueObservation`.

    `fields` are those of its class.
    """

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
