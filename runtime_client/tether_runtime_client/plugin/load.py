"""A plugin's classes: found by the names in its declaration, and held to what that says."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue, ValidationError

from ..protocol.errors import PluginInvalid
from ..protocol.message import Message
from ..protocol.opaque import tag_of
from ..protocol.plugin_actions import PluginAction
from ..protocol.plugin_events import PluginEvent
from ..protocol.plugin_observations import PluginObservation
from .base import HANDLES, ActionContext, NoConfig, Plugin
from .declaration import Declaration


@dataclass(frozen=True, slots=True)
class Handling:
    """One kind of action: its class, what it comes to, and the method for it."""

    action: type[PluginAction[Any]]
    observation: type[PluginObservation]
    method: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin's class and all that its declaration names, checked."""

    plugin: type[Plugin[Any]]
    config: type[Message]
    handlings: Mapping[str, Handling]
    events: Mapping[str, type[PluginEvent]]


def load(declaration: Declaration) -> Loaded:
    """Import what a declaration names.

    Raises `PluginInvalid` for what does not fit, and whatever the plugin's modules raise.
    """
    if declaration.entry is None:
        raise PluginInvalid(f"the plugin {declaration.name!r} has no process: it has no `entry`")
    plugin = _class(declaration.entry, Plugin, "entry")
    methods = _methods(plugin)
    handlings = {
        kind: _handling(kind, named.model, named.observation, methods)
        for kind, named in declaration.actions.items()
    }
    if undeclared := methods.keys() - {one.action for one in handlings.values()}:
        names = ", ".join(sorted(kind.__name__ for kind in undeclared))
        raise PluginInvalid(f"{plugin.__name__} handles what is not declared: {names}")
    events = {kind: _event(kind, name) for kind, name in declaration.events.items()}
    config = declaration.config
    return Loaded(
        cast("type[Plugin[Any]]", plugin),
        NoConfig if config is None else _class(config, Message, "config"),
        handlings,
        events,
    )


def configured(kind: type[Message], config: Mapping[str, JsonValue]) -> Message:
    """The configuration as the plugin's own model has it; raises `PluginInvalid`."""
    try:
        return kind.model_validate(dict(config))
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
        wrong = "; ".join(
            ".".join(str(part) for part in error["loc"] or (kind.__name__,)) + f": {error['msg']}"
            for error in errors[:10]
        )
        raise PluginInvalid(f"its configuration is wrong: {wrong}") from None


def _class(reference: str, base: type[Any], what: str) -> type[Any]:
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PluginInvalid(f"{what} = {reference!r} names no class derived from {base.__name__}")
    return found


def _handling(
    kind: str, model: str, observation: str, methods: Mapping[type[PluginAction[Any]], str]
) -> Handling:
    action = _class(model, PluginAction, f"actions.{kind}.model")
    answer = _class(observation, PluginObservation, f"actions.{kind}.observation")
    _check_tag(action, "action", kind)
    tag = tag_of(answer, "observation") or ""
    if tag.partition(".")[0] != kind.partition(".")[0]:
        raise PluginInvalid(f"{answer.__name__} has the tag {tag!r}, which is not of this plugin")
    if action not in methods:
        raise PluginInvalid(f"nothing handles {kind}: mark a method with @handles({model})")
    return Handling(action, answer, methods[action])


def _event(kind: str, reference: str) -> type[PluginEvent]:
    event = _class(reference, PluginEvent, f"events.{kind}")
    _check_tag(event, "event", kind)
    return cast("type[PluginEvent]", event)


def _check_tag(model: type[Message], field: str, kind: str) -> None:
    tag = tag_of(model, field)
    if tag != kind:
        raise PluginInvalid(f"{model.__name__} has the tag {tag!r}, and is declared as {kind!r}")


def _methods(plugin: type[Plugin[Any]]) -> dict[type[PluginAction[Any]], str]:
    """The names of the methods by what they handle; a second one for the same is refused."""
    found: dict[type[PluginAction[Any]], str] = {}
    for name in dir(plugin):
        kind = getattr(getattr(plugin, name, None), HANDLES, None)
        if kind is None:
            continue
        if kind in found:
            raise PluginInvalid(
                f"{plugin.__name__} handles {kind.__name__} twice: in {found[kind]} and in {name}"
            )
        found[kind] = name
    return found


def method_of(
    plugin: Plugin[Any], handling: Handling
) -> Callable[[PluginAction[Any], ActionContext], Awaitable[Any]]:
    """What is called with an action of that kind."""
    return cast("Callable[[Any, Any], Awaitable[Any]]", getattr(plugin, handling.method))
