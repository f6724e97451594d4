"""What a plugin is: a class with a method for each of its actions, in a process of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..protocol.message import Message
from ..protocol.plugin_actions import PluginAction
from ..protocol.plugin_events import PluginEvent
from ..protocol.plugin_observations import PluginObservation

HANDLES = "__tether_handles__"


class NoConfig(Message):
    """The configuration of a plugin that has none."""


C = TypeVar("C", bound=Message)
A = TypeVar("A", bound=PluginAction[Any])
P = TypeVar("P", bound="Plugin[Any]")


@dataclass(frozen=True, slots=True)
class PluginPlaces:
    """Where a plugin may keep things, and where its own are.

    Attributes:
        prefix: what was installed for it: its declaration's `files` and what `setup` left there.
            Read-only. None where it was not put there by `runtime-build` (`backend="local"`).
        state: a folder of its own, empty at the sandbox's start; it outlives the plugin's process.
        workdir: where sessions start.
        plugins: a folder with a `plugin.json` below the name of each plugin of this sandbox.
        skills: modules that were added while the sandbox runs; made with the first one.
    """

    prefix: Path | None
    state: Path
    workdir: Path
    plugins: Path
    skills: Path


class ActionContext(Protocol):
    """What a handler has beside its action."""

    action_id: str

    def emit(self, event: PluginEvent) -> None:
        """Tell something while the action runs; it is in the history before the observation."""

    async def session_folder(self, session: str = "default") -> Path:
        """The present directory of a shell session; where sessions start, if it has no shell."""

    async def session_environment(self, session: str = "default") -> dict[str, str]:
        """The variables that a shell session exports, after the last command that ended there."""


class Plugin(Generic[C]):
    """The base of plugins. One object is made when its process starts, and handles its actions.

    Actions run side by side; a plugin that wants turns takes a lock. A handler that raises an
    `ActionError` ends its action with that error; anything else it raises is reported as a defect
    of the plugin, and it goes on. A cancelled action is a cancelled task.
    """

    config: C
    places: PluginPlaces

    async def start(self) -> None:
        """Called once, before the first action. Raising leaves the plugin out, and is told."""

    async def stop(self) -> None:
        """Called when the sandbox ends or the plugin is stopped; there are some seconds for it."""

    async def health(self) -> None:
        """Called when somebody asks how it is; raise to say that it is not well, and why."""


Handle = Callable[[P, A, ActionContext], Awaitable[PluginObservation]]


def handles(kind: type[A]) -> Callable[[Handle[P, A]], Handle[P, A]]:
    """Marks a method of a `Plugin` as what handles actions of exactly this type."""

    def mark(method: Handle[P, A]) -> Handle[P, A]:
        setattr(method, HANDLES, kind)
        return method

    return mark
