"""The door for plugins: what a plugin's author imports, and nothing else of Tether.

    from tether_runtime_client.plugin import ActionContext, Plugin, handles

    class Weather(Plugin[Config]):
        @handles(LookupAction)
        async def lookup(self, action: LookupAction, context: ActionContext) -> LookupObservation:
            ...

A plugin runs in a process of its own, with this class and its packages; `docs/plugins.md` says what
goes where.
"""

from ..protocol.errors import ActionError
from ..protocol.message import Message
from ..protocol.plugin_actions import PluginAction
from ..protocol.plugin_events import PluginEvent
from ..protocol.plugin_observations import PluginObservation
from .base import ActionContext, NoConfig, Plugin, PluginPlaces, handles

__all__ = [
    "ActionContext",
    "ActionError",
    "Message",
    "NoConfig",
    "Plugin",
    "PluginAction",
    "PluginEvent",
    "PluginObservation",
    "PluginPlaces",
    "handles",
]
