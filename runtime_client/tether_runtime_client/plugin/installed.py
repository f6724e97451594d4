"""Plugins as they are installed: a folder with a `plugin.json` for each of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..protocol.errors import PluginInvalid
from ..protocol.message import Message
from .declaration import Declaration, check_door

FILE = "plugin.json"


class InstalledPlugin(Message):
    """A declaration, and where what it names is.

    Attributes:
        declaration: what the plugin says of itself.
        version: of its package.
        path: folders that come first in its process's `sys.path`: its package and what that needs.
        prefix: the folder with its files and with what its set-up made; None without one.
    """

    declaration: Declaration
    version: str
    path: tuple[str, ...] = ()
    prefix: str | None = None


def installed_plugins(folder: Path) -> dict[str, InstalledPlugin | PluginInvalid]:
    """What is in a folder of plugins, by name, and why one of them cannot be used."""
    found: dict[str, InstalledPlugin | PluginInvalid] = {}
    for file in sorted(folder.glob(f"*/{FILE}")):
        name = file.parent.name
        try:
            found[name] = _read(file)
        except PluginInvalid as problem:
            found[name] = problem
    return found


def _read(file: Path) -> InstalledPlugin:
    try:
        plugin = InstalledPlugin.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as problem:
        raise PluginInvalid(f"{file} cannot be read: {problem}") from None
    if plugin.declaration.name != file.parent.name:
        raise PluginInvalid(f"{file} is of another plugin, {plugin.declaration.name!r}")
    check_door(plugin.declaration)
    return plugin
