"""What plugins tell while they work, and what is told of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from .event import Event
from .plugin_actions import Kind, PluginName


class PluginEvent(Event):
    """The base of plugins' own events: `event: Literal["weather.progress"]`."""


class OpaqueEvent(Event):
    """A plugin's event as it travels and as it is kept; `fields` are those of its class."""

    event: Literal["plugin"] = "plugin"
    kind: Kind
    fields: dict[str, JsonValue] = Field(default_factory=dict)


class PluginStarted(Event):
    """A plugin's process is ready; `duration_s` is how long that took."""

    event: Literal["plugin_started"] = "plugin_started"
    plugin: PluginName
    version: str
    pid: int
    duration_s: float


class PluginFailed(Event):
    """A plugin is left out, or its process was lost; everything else goes on.

    `exit_code` is its process's (128 + n when signal n ended it); None where it never ran, and
    where the client killed it for the `reason`. `output` is the last of what it printed, and the
    newest half a megabyte or more of it is at `output_path`.
    """

    event: Literal["plugin_failed"] = "plugin_failed"
    plugin: PluginName
    reason: str
    exit_code: int | None = None
    output: str = ""
    output_path: str | None = None


class PluginEventsOmitted(Event):
    """Events of a plugin's action were left out: too many waited for the server, or the disk was
    full.
    """

    event: Literal["plugin_events_omitted"] = "plugin_events_omitted"
    plugin: PluginName
    count: int


class PluginStopped(Event):
    """A plugin's process ended because it was asked to."""

    event: Literal["plugin_stopped"] = "plugin_stopped"
    plugin: PluginName


class PluginWarning(Event):
    """A plugin of the sandbox and what the server has do not go together, as far as it says."""

    event: Literal["plugin_warning"] = "plugin_warning"
    plugin: PluginName
    message: str
    hint: str = ""
