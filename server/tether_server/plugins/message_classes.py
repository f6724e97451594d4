"""The classes of plugins' messages, from the packages that are installed in this Python.

A package is imported when a message of its plugin is first opened, and only by what its own
declaration names: what comes from a sandbox names nothing that is imported.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
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
        """What is installed at this moment. Waits for no import that another thread is at."""
        self._packages = packages = plugin_packages()
        return packages

    def packages(self) -> dict[str, PluginPackage]:
        """Those that can be used, by plugin, as this process found them."""
        found = self._packages if self._packages is not None else self.look_again()
        return {name: one for name, one in found.items() if isinstance(one, PluginPackage)}

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
            found_here = self._packages if self._packages is not None else self.look_again()
            package = found_here.get(plugin)
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
    found, opener = MessageClasses(), _Opener()
    for kind, action in declaration.actions.items():
        opener.put(found.actions, action.model, PluginAction, "action", kind)
        opener.put(found.observations, action.observation, PluginObservation, "observation")
    for kind, reference in declaration.events.items():
        opener.put(found.events, reference, PluginEvent, "event", kind)
    for problem in opener.problems:
        log.warning("messages of the plugin %r stay as they come: %s", declaration.name, problem)
    return found


class _Opener:
    """Imports what a declaration names, each module once; `problems` are for the log."""

    def __init__(self) -> None:
        self.problems: dict[str, None] = {}
        self._broken: set[str] = set()

    def put(
        self,
        known: dict[str, type[M]],
        reference: str,
        base: type[M],
        field: str,
        declared: str | None = None,
    ) -> None:
        """Add the class of that name by its tag, if it is what it has to be."""
        found = self._resolve(reference)
        if found is None:
            return
        if not (isinstance(found, type) and issubclass(found, base)):
            self.problems[f"{reference} is no {base.__name__}"] = None
            return
        tag = tag_of(found, field)
        if tag is None or declared not in (None, tag):
            self.problems[f"{reference} has the tag {tag!r}, and is declared as {declared}"] = None
        else:
            known[tag] = found

    def _resolve(self, reference: str) -> object:
        module = reference.partition(":")[0]
        if module in self._broken:
            return None
        try:
            return resolve(reference)
        except PluginInvalid as problem:
            if module not in sys.modules:
                self._broken.add(module)
            self.problems[problem.message] = None
            return None


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
