"""What can be told of installed plugins by a glance at their `plugin.json`.

Nothing that plugins need is imported for it: a sandbox that has plugins and does not use them pays
for no more than this. Whoever uses one reads its file with care.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .private_files import read_small
from .protocol.limits import PLUGIN_DOOR
from .protocol.plugin_observations import PluginInfo

_ODD = (OSError, ValueError, LookupError, TypeError, AttributeError)


def plugin_files(folder: Path) -> Iterator[Path]:
    """None, where there is no such folder."""
    with suppress(OSError):
        yield from (one / "plugin.json" for one in sorted(folder.iterdir()))


def glance(file: Path) -> dict[str, Any]:
    """What is in it; raises OSError or ValueError. What is no ordinary file is not waited for."""
    found = json.loads(read_small(file))
    if not isinstance(found, dict):
        raise ValueError(f"{file} has no object")
    return found


def starts_with_the_client(file: Path) -> bool:
    """Whether this plugin is to run from the beginning."""
    try:
        return bool(glance(file)["declaration"]["start"] == "sandbox")
    except _ODD:
        return False


def idle_plugins(folder: Path) -> tuple[PluginInfo, ...] | None:
    """All of them, while none was used; None where one is odd and wants a closer look."""
    try:
        return tuple(map(_idle, plugin_files(folder)))
    except _ODD:
        return None


def _idle(file: Path) -> PluginInfo:
    plugin = glance(file)
    declaration = plugin["declaration"]
    if declaration["name"] != file.parent.name or declaration["door"] != PLUGIN_DOOR:
        raise ValueError(f"{file} is not to be used")
    return PluginInfo(
        name=declaration["name"],
        version=plugin["version"],
        summary=declaration.get("summary", ""),
        state="idle",
        actions=tuple(declaration.get("actions", ())),
        skills=tuple(declaration.get("skills", ())),
        ports=declaration.get("ports", {}),
    )
