"""The classes of plugins' messages, from the packages that are installed in this Python.

A package is imported when a message of its plugin is first opened, and only by what its own
declaration names: what comes from a sandbox names nothing that is imported.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TypeVar

from pydantic import BaseModel

from tether_runtime_client.plugin.declaration import Declaration
from tether_runtime_client.plugin.discovery import PluginPackage, plugin_packages
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.opaque import tag_of
from tether_runtime_client.protocol.plugin_actions import PluginAction
from tether_runtime_client.protocol.plugin_events import PluginEvent
from tether_runtime_client.protocol.plugin_observations import PluginObservation

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MessageClasses:
    """The classes of one plugin, by the tags of what they are for."""

    actions: dict[str, type[PluginAction]] = field(default_factory=dict)
    observations: dict[str, type[PluginObservation]] = field(default_factory=dict)
    events: dict[str, type[PluginEvent]] = field(default_factory=dict)


_NONE = MessageClasses()


class InstalledClasses:
    """What the packages of this Python have, each imported once, when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._packages: Mapping[str, PluginPackage | PluginInvalid] | None = None
        self._opened: dict[str, MessageClasses] = {}

    def look_again(self) -> Mapping[str, PluginPackage | PluginInvalid]:
        """What is installed at this moment."""
        packages = plugin_packages()
        with self._lock:
            self._packages = packages
        return packages

    def package(self, plugin: str) -> PluginPackage | None:
        """The package that brings a plugin, if it is installed and can be used."""
        packages = self._packages if self._packages is not None else self.look_again()
        found = packages.get(plugin)
        return found if isinstance(found, PluginPackage) else None

    def opened(self, plugin: str) -> bool:
        """Whether `of` answers at once."""
        absent = self._packages is not None and plugin not in self._packages
        return absent or plugin in self._opened

    def of(self, plugin: str) -> MessageClasses:
        """The classes of a plugin; none for one that is not installed or cannot be imported."""
        if self.opened(plugin):
            return self._opened.get(plugin, _NONE)
        return self._open(plugin)

    def _open(self, plugin: str) -> MessageClasses:
        with self._lock:
            if plugin in self._opened:
                return self._opened[plugin]
            if self._packages is None:
                self._packages = plugin_packages()
            package = self._packages.get(plugin)
            if package is None:  # not remembered: a sandbox may tell of any number of names
                return _NONE
            if isinstance(package, PluginInvalid):
                log.warning("messages of the plugin %r are not opened: %s", plugin, package.message)
                found = _NONE
            else:
                found = _import(package.declaration)
            self._opened[plugin] = found
            return found


def _import(declaration: Declaration) -> MessageClasses:
    found = MessageClasses()
    for kind, action in declaration.actions.items():
        for one in _class(action.model, PluginAction):
            _put(found.actions, tag_of(one, "action"), one, action.model, kind)
        for answer in _class(action.observation, PluginObservation):
            tag = tag_of(answer, "observation")
            _put(found.observations, tag, answer, action.observation, tag)
    for kind, reference in declaration.events.items():
        for event in _class(reference, PluginEvent):
            _put(found.events, tag_of(event, "event"), event, reference, kind)
    return found


def _put(
    known: dict[str, type[M]], tag: str | None, kind: type[M], reference: str, declared: str | None
) -> None:
    if tag is None or tag != declared:
        log.warning("%s has the tag %r and is declared as %r: left out", reference, tag, declared)
    else:
        known[tag] = kind


def _class(reference: str, base: type[M]) -> Iterator[type[M]]:
    """The class of that name, if there is one and it is what it has to be."""
    try:
        found = resolve(reference)
    except PluginInvalid as problem:
        log.warning("messages of %s stay as they come: %s", reference, problem.message)
        return
    if isinstance(found, type) and issubclass(found, base):
        yield found
    else:
        log.warning("messages of %s stay as they come: it is no %s", reference, base.__name__)


def resolve(reference: str) -> object:
    """What an installed declaration names as `package.module:Name`; imports it.

    Raises `PluginInvalid` when that fails, in whatever way: it is a plugin's own code.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except (Exception, SystemExit) as problem:
        text = f"{reference} cannot be imported: {type(problem).__name__}: {problem}"
        raise PluginInvalid(text[:500], hint="Install what its package needs here") from None


installed_classes = InstalledClasses()
"""Those of this process."""
