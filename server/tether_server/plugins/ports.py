"""Ports of plugins by their names: `weather.map`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import InvalidAction, PluginMissing

if TYPE_CHECKING:
    from ..calls import Calls

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\.[^/\s\x00]{1,100}")


def is_plugin_port(target: int | str) -> bool:
    """Whether a port is named that way, by its plugin and the name it has there."""
    return isinstance(target, str) and _NAME.fullmatch(target) is not None


async def plugin_port(calls: Calls, target: str) -> int:
    """The number of the port that a plugin of the sandbox declares.

    Raises `PluginMissing` without such a plugin, `InvalidAction` without such a port.
    """
    plugin, _, name = target.partition(".")
    found = {info.name: info for info in await calls.plugins()}
    if plugin not in found:
        raise PluginMissing(f"the sandbox has no plugin {plugin!r}, so {target} is no port of it")
    ports = found[plugin].ports
    if name not in ports:
        known = ", ".join(f"{plugin}.{one:.100}" for one in ports)
        raise InvalidAction(
            f"the plugin {plugin!r} declares no port {name!r}",
            hint=f"It declares {known}" if known else "It declares none; ports have numbers too",
        )
    return ports[name]
