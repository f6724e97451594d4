"""Plugins as they are installed: a folder with a `plugin.json` for each of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import from_json

from ..private_files import read_small
from ..protocol.errors import PluginInvalid
from ..protocol.message import Message
from .declaration import Declaration, check_door, check_fields, first_error

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
        content = read_small(file)
        plugin = InstalledPlugin.model_validate_json(content)
    except OSError as problem:
        raise PluginInvalid(f"{file} cannot be read: {problem}") from None
    except ValidationError as problem:
        _refuse(file, content, problem)
    if plugin.declaration.name != file.parent.name:
        raise PluginInvalid(f"{file} is of another plugin, {plugin.declaration.name!r}")
    check_door(plugin.declaration)
    return plugin


def _refuse(file: Path, content: bytes, problem: ValidationError) -> NoReturn:
    with suppress(ValueError, LookupError, TypeError):
        check_fields(from_json(content)["declaration"])
    raise PluginInvalid(f"{file} cannot be read: {first_error(problem)}")
