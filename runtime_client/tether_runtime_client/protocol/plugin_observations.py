"""What plugins' actions come to, and what is known of plugins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .message import Message
from .observation import Observation
from .plugin_actions import Kind, PluginName

PluginState = Literal["idle", "starting", "running", "failed"]
"""Not started yet (or stopped), coming up, ready for actions, or left out until it is asked again.
"""


class PluginObservation(Observation):
    """The base of plugins' own observations, with `observation: Literal["weather.lookup"]`."""


class OpaqueObservation(Observation):
    """A plugin's observation as it travels and as it is kept; `fields` are those of its class."""

    observation: Literal["plugin"] = "plugin"
    kind: Kind
    fields: dict[str, JsonValue] = Field(default_factory=dict)


class PluginInfo(Message):
    """A plugin of this sandbox. `problem` says why it failed, or why it is not healthy.

    `ports` are those that it serves inside, by their names; `output_path` has what it printed.
    """

    name: PluginName
    version: str
    summary: str = ""
    state: PluginState
    pid: int | None = None
    problem: str | None = None
    actions: tuple[Kind, ...] = ()
    skills: tuple[str, ...] = ()
    ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = Field(default_factory=dict)
    output_path: str | None = None


class ListPluginsObservation(Observation):
    """The plugins of this sandbox, by name."""

    observation: Literal["list_plugins"] = "list_plugins"
    plugins: tuple[PluginInfo, ...]
