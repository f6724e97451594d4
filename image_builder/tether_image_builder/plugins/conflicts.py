"""Plugins that cannot be in one image together."""

from __future__ import annotations

from collections.abc import Iterable

from tether_runtime_client.plugin.declaration import Declaration, check_door
from tether_runtime_client.protocol.errors import PluginInvalid


def check_together(plugins: Iterable[tuple[str, Declaration]]) -> None:
    """Whether they fit together and this Tether.

    Args:
        plugins: what each is called in errors, and its declaration.

    Raises:
        PluginInvalid: two have one name, action, event, command or port, or one is for another
            version of the door.
    """
    taken: dict[tuple[str, object], tuple[int, str]] = {}
    for owner in enumerate(plugins):
        said, declaration = owner[1]
        check_door(declaration)
        for what in _claims(declaration):
            other, its_name = taken.setdefault(what, (owner[0], said))
            if other != owner[0]:
                kind, value = what
                raise PluginInvalid(
                    f"{its_name} and {said} both have {kind} {value!r}",
                    hint="Leave one of them out: a sandbox has each of these once",
                )


def _claims(declaration: Declaration) -> Iterable[tuple[str, object]]:
    """What may be one plugin's only."""
    yield "the plugin name", declaration.name
    yield from (("the action", kind) for kind in declaration.actions)
    yield from (("the event", kind) for kind in declaration.events)
    yield from (("the command", name) for name in declaration.commands)
    yield from (("the port", port) for port in declaration.ports.values())
