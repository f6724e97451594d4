"""Which plugins a runtime is asked for, and how configured: checked before anything starts."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue, TypeAdapter, ValidationError

from tether_runtime_client.protocol.errors import PluginInvalid, PluginMissing
from tether_runtime_client.protocol.message import LATER, Message
from tether_runtime_client.protocol.opaque import holds_secret

if TYPE_CHECKING:
    from tether_runtime_client.plugin.discovery import PluginPackage

log = logging.getLogger(__name__)

PluginConfig = Message | Mapping[str, object]
"""A plugin's configuration: its own model, or the fields of that."""

PluginsAsked = Iterable[str] | Mapping[str, PluginConfig | None]
"""Plugins by name, or names with their configurations."""

Config = dict[str, JsonValue]
MAX_CONFIG = 90 * 1024
"""Bytes of all configurations as JSON: they reach the client as one of its arguments."""

_json_adapter: TypeAdapter[Config] = TypeAdapter(Config, config=LATER)


def asked_plugins(plugins: PluginsAsked, packages: Sequence[str] = ()) -> dict[str, Config]:
    """The plugins by name, each with its configuration as JSON.

    With `packages` a name may also be of one of those, about which nothing is known yet.

    Raises `PluginInvalid` for a plugin that is not installed here, or a wrong configuration.
    What looks for packages is imported when there is something to look for.
    """
    given = _by_name(plugins)
    if not given:
        return {}
    from tether_runtime_client.plugin.discovery import no_such_plugin

    from .message_classes import installed_classes

    known = installed_classes.look_again()
    asked = {}
    for name, config in given.items():
        package = known.get(name)
        if isinstance(package, PluginInvalid):
            raise PluginInvalid(package.message, hint=package.hint)
        if package is None and not packages:
            raise no_such_plugin(name, known)
        asked[name] = checked(name, package, config)
    encoded_config(asked)
    return asked


def check_there(asked: Iterable[str], there: Mapping[str, str]) -> None:
    """Raises `PluginMissing` for a plugin that was asked for and is not there."""
    for name in asked:
        if name not in there:
            found = f"it has {', '.join(sorted(there))}" if there else "it has none"
            raise PluginMissing(
                f"the sandbox was made without the plugin {name!r}; {found}",
                hint="No package that was named brings it: `tether plugins` lists what is here",
            )


def encoded_config(asked: Mapping[str, Mapping[str, JsonValue]]) -> str:
    """The configurations as the client's argument; empty without any. Raises `PluginInvalid`."""
    given = {name: dict(config) for name, config in asked.items() if config}
    if not given:
        return ""
    text = json.dumps(given, separators=(",", ":")).encode()
    if len(text) > MAX_CONFIG:
        raise PluginInvalid(
            f"the plugins' configurations are {len(text):,} bytes, and {MAX_CONFIG:,} is the most",
            hint="Put what is long into a file of the sandbox, and its path into the configuration",
        )
    return b64encode(text).decode()


def _by_name(plugins: PluginsAsked) -> dict[str, PluginConfig | None]:
    if isinstance(plugins, str):
        hint = f'For one plugin it is plugins=["{plugins:.64}"]'
        raise PluginInvalid("plugins= is a list of names, or a mapping by name", hint=hint)
    given = dict(plugins) if isinstance(plugins, Mapping) else dict.fromkeys(plugins)
    for name in given:
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", name):
            hint = "Names are lower-case letters, digits and _; `tether plugins` lists those here"
            raise PluginInvalid(f"{name!r:.100} is no plugin's name", hint=hint)
    return given


def checked(name: str, package: PluginPackage | None, config: PluginConfig | None) -> Config:
    """A plugin's configuration as JSON; raises `PluginInvalid` for a wrong one."""
    model = _model(name, package)
    if isinstance(config, Message):
        if model is not None and not isinstance(config, model):
            raise PluginInvalid(
                f"the configuration of {name!r} is a {type(config).__name__}, which is another's",
                hint=f"Give a {model.__name__}, or a mapping of its fields",
            )
        return _as_json(name, config)
    if config is not None and not isinstance(config, Mapping):
        raise PluginInvalid(
            f"the configuration of {name!r} is no mapping", hint=f'Such as {{"{name}": {{}}}}'
        )
    if model is not None:
        return _as_json(name, _validated(name, model, config or {}))
    if config and package is not None and package.declaration.config is None:
        raise PluginInvalid(f"the plugin {name!r} takes no configuration", hint="Leave it out")
    try:
        return _json_adapter.validate_python(dict(config or {}))
    except ValidationError:
        text = f"the configuration of {name!r} holds what JSON cannot"
        raise PluginInvalid(text, hint="Give text, numbers, lists and mappings") from None


def _model(name: str, package: PluginPackage | None) -> type[Message] | None:
    """Its class, where that is to be had here; the plugin itself checks once more."""
    reference = None if package is None else package.declaration.config
    if reference is None:
        return None
    from .message_classes import resolve

    try:
        found = resolve(reference)
    except PluginInvalid as problem:
        log.warning("the configuration of %r is not checked here: %s", name, problem.message)
        return None
    if not (isinstance(found, type) and issubclass(found, Message)):
        text = f"{reference}, the configuration of {name!r}, is no closed model"
        raise PluginInvalid(text, hint="It has to derive from tether_runtime_client.plugin.Message")
    return found


def _validated(name: str, model: type[Message], config: Mapping[str, object]) -> Message:
    try:
        return model.model_validate(dict(config))
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False, include_context=False)
        where = ".".join(str(part) for part in errors[0]["loc"])
        raise PluginInvalid(
            f"the configuration of {name!r}: {where}{': ' * bool(where)}{errors[0]['msg']}",
            hint=f"It has {', '.join(model.model_fields) or 'no fields'}",
        ) from None


def _as_json(name: str, config: Message) -> Config:
    """Only what was given: the defaults are those of the version that the sandbox has."""
    if holds_secret([getattr(config, field) for field in config.model_fields_set]):
        raise PluginInvalid(
            f"the configuration of {name!r} holds a secret, and is no place for one",
            hint="It is among the client's arguments, which everybody in the sandbox can read:"
            " put it into a file there that only the sandbox's user can read",
        )
    try:
        return config.model_dump(mode="json", round_trip=True, exclude_unset=True)
    except ValueError as problem:
        text = f"the configuration of {name!r} cannot be written as JSON: {problem}"
        raise PluginInvalid(text[:500], hint="Give what JSON can hold") from None
