"""Which sidecars a runtime is asked for: checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue, TypeAdapter, ValidationError

from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.message import LATER

if TYPE_CHECKING:
    from tether_runtime_client.plugin.declaration import Declaration, SidecarNeeds
    from tether_runtime_client.plugin.discovery import PluginPackage

Resources = dict[str, JsonValue]

SidecarsAsked = Iterable[str] | Mapping[str, Mapping[str, object] | None]
"""Plugins whose sidecar is to run, by name, or names with `{"resources": {...}}`."""

_json_adapter: TypeAdapter[Resources] = TypeAdapter(Resources, config=LATER)


def asked_sidecars(
    sidecars: SidecarsAsked, plugins: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, Resources]:
    """The limits of each, by its plugin's name. `plugins` are those asked for, as configured.

    Raises `PluginInvalid` for one of a plugin that is not asked for, that is known to have none, or
    whose configuration does not go with it.
    """
    given = _by_name(sidecars)
    if not given:
        return {}
    from ..plugins.message_classes import installed_classes

    known = installed_classes.packages()
    for name in given:
        if name not in plugins:
            raise PluginInvalid(
                f"a sidecar is of a plugin, and {name!r:.100} is not among those asked for",
                hint=f'Ask for it too: plugins=["{name:.64}"]',
            )
        if name in known:
            _check(known[name], plugins[name])
    return {name: _resources(name, options) for name, options in given.items()}


def _check(package: PluginPackage, config: Mapping[str, JsonValue]) -> None:
    from ..plugins.asked import checked

    needs = needs_of(package.declaration)
    address = needs.filled(needs.address, port=1, token="0", prefix="/")
    checked(package.declaration.name, package, {**config, needs.config: address})


def needs_of(declaration: Declaration) -> SidecarNeeds:
    """What the plugin's sidecar is; raises `PluginInvalid` for one that declares none."""
    if declaration.sidecar is None:
        raise PluginInvalid(
            f"the plugin {declaration.name!r} has no sidecar",
            hint="Leave it out of `sidecars`; `[sidecar]` in its declaration would say what runs",
        )
    return declaration.sidecar


def _by_name(sidecars: SidecarsAsked) -> dict[str, Mapping[str, object] | None]:
    if isinstance(sidecars, str):
        hint = f'For one it is sidecars=["{sidecars:.64}"]'
        raise PluginInvalid("sidecars= is a list of plugins' names, or a mapping", hint=hint)
    return dict(sidecars) if isinstance(sidecars, Mapping) else dict.fromkeys(sidecars)


def _resources(name: str, options: Mapping[str, object] | None) -> Resources:
    from ..backends.spec_checks import check_resources

    if options is None:
        return {}
    if not isinstance(options, Mapping) or set(options) - {"resources"}:
        raise PluginInvalid(
            f"the sidecar of {name!r} takes nothing but `resources`",
            hint=f'Such as {{"{name}": {{"resources": {{"mem_limit": "2g"}}}}}}',
        )
    resources = options.get("resources") or {}
    try:
        found = _json_adapter.validate_python(resources)
    except ValidationError:
        text = f"the resources of the sidecar of {name!r} hold what JSON cannot"
        hint = "Give text, numbers, lists and mappings: they are noted for a server that attaches"
        raise PluginInvalid(text, hint=hint) from None
    check_resources(found)
    shared = sorted({"network_mode", "pid_mode"} & set(found))
    if shared:
        raise ValueError(f"a sidecar has its {shared[0]} from its sandbox")
    return found
