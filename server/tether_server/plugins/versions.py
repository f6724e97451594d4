"""The plugins that a sandbox was made with, against those that are installed here.

The sandbox is not asked: a plugin that is not used is to cost nothing there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from tether_runtime_client.plugin.discovery import PluginPackage
from tether_runtime_client.protocol.events import PluginWarning

from .message_classes import installed_classes

log = logging.getLogger(__name__)


def compared_with_here(there: Mapping[str, str]) -> list[PluginWarning]:
    """What is to be told of the versions there, by name. Looks for packages: some milliseconds."""
    warnings = list(differences(there, installed_classes.packages()))
    for warning in warnings:
        log.warning("the plugin %r: %s", warning.plugin, warning.message)
    return warnings


def differences(
    there: Mapping[str, str], here: Mapping[str, PluginPackage]
) -> Iterator[PluginWarning]:
    """One for each plugin whose package is installed here in another version."""
    for name, version in sorted(there.items()):
        package = here.get(name)
        if package is not None and package.version != version:
            yield PluginWarning(
                plugin=name,
                message=(
                    f"the sandbox has version {version}, and {package.version} is installed here:"
                    " what one of them writes, the other may not read"
                ),
                hint=f"Install version {version} here, or start another sandbox",
            )
