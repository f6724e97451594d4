"""Whether the sandbox has the plugins that were asked for, and in the versions that are here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tether_runtime_client.plugin.discovery import PluginPackage
from tether_runtime_client.protocol.errors import ActionError, PluginMissing
from tether_runtime_client.protocol.events import Event, PluginWarning
from tether_runtime_client.protocol.plugin_observations import PluginInfo

from .message_classes import installed_classes

if TYPE_CHECKING:
    from ..calls import Calls

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 30.0
"""The sandbox may be busy, or hostile; no plugin is started for an answer."""


async def check_plugins(
    calls: Calls, asked: Collection[str], tell: Callable[[Event], None], *, attached: bool
) -> None:
    """Ask the sandbox for its plugins, and `tell` a `PluginWarning` for what does not fit.

    Raises `PluginMissing` for a fresh sandbox that lacks what it was asked for, or does not say.
    """
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = {info.name: info for info in await calls.plugins()}
    except (ActionError, TimeoutError) as problem:
        if not attached:
            reason = getattr(problem, "message", f"no answer in {ANSWER_TIMEOUT_S:.0f} s")
            raise PluginMissing(f"the sandbox does not tell its plugins: {reason}") from None
        log.warning("the sandbox does not tell its plugins: %r", problem)
        return
    packages = await asyncio.to_thread(installed_classes.packages)
    for name in sorted({*asked, *(found.keys() & packages)}):
        if name not in found and not attached:
            raise PluginMissing(f"the sandbox came up without the plugin {name!r}")
        warning = difference(name, found.get(name), packages.get(name))
        if warning is not None:
            log.warning("the plugin %r: %r", name, warning.message)
            tell(warning)


def difference(
    name: str, found: PluginInfo | None, package: PluginPackage | None
) -> PluginWarning | None:
    """What is to be said of a plugin of the sandbox, and the package that is installed here."""
    if found is None:
        text = "the sandbox has it no more"
        return PluginWarning(plugin=name, message=text, hint=PluginMissing.default_hint)
    if found.state == "failed" and found.problem:
        hint = "`tether plugins NAME` tells how it is; its next action tries again"
        return PluginWarning(plugin=name, message=f"{found.problem:.1000}", hint=hint)
    if package is None or found.version == package.version:
        return None
    return PluginWarning(
        plugin=name,
        message=(
            f"the sandbox has version {found.version:.100}, and {package.version} is installed"
            " here: what one of them writes, the other may not read"
        ),
        hint=f"Install version {found.version:.100} here, or build the image anew",
    )
