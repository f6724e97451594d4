"""Between plugins' own classes and what travels and is kept: pure conversions, both ways.

A message of a plugin goes through JSON by its own class's rules, so whatever its class can write
and read again arrives as it was. What is read may be hostile: it either validates as that class, or
is refused.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, JsonValue, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import to_json

from .errors import InvalidAction
from .event import Event
from .plugin_actions import OpaqueAction, PluginAction
from .plugin_events import OpaqueEvent, PluginEvent
from .plugin_observations import OpaqueObservation, PluginObservation

A = TypeVar("A", bound=PluginAction[Any])
E = TypeVar("E", bound=PluginEvent)
O = TypeVar("O", bound=PluginObservation)  # noqa: E741
M = TypeVar("M", bound=BaseModel)

_OF_EVENTS = frozenset(Event.model_fields)


def opaque_action(action: PluginAction[Any]) -> OpaqueAction:
    """A plugin's action as it is sent and stored.

    Raises `InvalidAction` for one that JSON cannot hold, or whose tag is no `plugin.name`.
    """
    if holds_secret(action):
        raise InvalidAction(
            f"{type(action).__name__} holds a secret, which would arrive as asterisks",
            hint="What is sent is kept in the history: have the plugin read it from elsewhere",
        )
    try:
        fields = action.model_dump(mode="json", round_trip=True, warnings="error")
        kind = fields.pop("action")
        return OpaqueAction(kind=kind, fields=fields)
    except ValueError as problem:  # those of pydantic are
        raise InvalidAction(
            f"{type(action).__name__} cannot be sent: {_said(problem)}",
            hint="Its `action` is the plugin's name, a dot and its own; its fields fit into JSON",
        ) from None


def opaque_observation(observation: PluginObservation) -> OpaqueObservation:
    """A plugin's observation as it is sent and stored; raises `ValueError` for a wrong tag."""
    fields, common = _fields(observation)
    return OpaqueObservation(kind=str(fields.pop("observation")), fields=fields, **common)


def opaque_event(event: PluginEvent) -> OpaqueEvent:
    """A plugin's event as it is sent and stored; raises `ValueError` for a wrong tag."""
    fields, common = _fields(event)
    return OpaqueEvent(kind=str(fields.pop("event", "")), fields=fields, **common)


def typed_action(opaque: OpaqueAction, kind: type[A]) -> A:
    """The action as one of that class; raises `ValueError`, also where it is of another."""
    return _validated(kind, opaque.fields, {"action": opaque.kind})


def typed_observation(opaque: OpaqueObservation, kind: type[O]) -> O:
    """The observation as one of that class; raises `ValueError`, also where it is of another."""
    return _validated(kind, opaque.fields, {"observation": opaque.kind, **_common(opaque)})


def typed_event(opaque: OpaqueEvent, kind: type[E]) -> E:
    """The event as one of that class; raises `ValueError`, also where it is of another."""
    return _validated(kind, opaque.fields, {"event": opaque.kind, **_common(opaque)})


def answer_of(kind: type[PluginAction[Any]]) -> type[PluginObservation] | None:
    """The class of observation that a class of actions names in its brackets, if it does."""
    for base in kind.__mro__:
        generic = getattr(base, "__pydantic_generic_metadata__", {})
        if generic.get("origin") is PluginAction:
            [answer] = generic["args"]
            is_class = isinstance(answer, type) and issubclass(answer, PluginObservation)
            return answer if is_class and answer is not PluginObservation else None
    return None


def holds_secret(value: object) -> bool:
    """Whether one of pydantic's secrets is in there: as JSON they are asterisks."""
    if isinstance(value, BaseModel):
        return any(map(holds_secret, value.__dict__.values()))
    if isinstance(value, dict):
        return any(map(holds_secret, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(holds_secret, value))
    return isinstance(value, SecretStr | SecretBytes | Secret)


def tag_of(kind: type[BaseModel], field: str) -> str | None:
    """What a class has in its tag, the field `action`, `observation` or `event`."""
    tag = kind.model_fields.get(field)
    values = get_args(tag.annotation) if tag is not None else ()
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _fields(event: Event) -> tuple[dict[str, JsonValue], dict[str, Any]]:
    """Its own, and those of every event. What JSON cannot hold is told by its `repr`."""
    fields = event.model_dump(mode="json", round_trip=True, fallback=repr, warnings=False)
    common = {name: fields.pop(name) for name in _OF_EVENTS}
    return fields, common


def _common(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _OF_EVENTS}


def _validated(kind: type[M], fields: dict[str, JsonValue], own: dict[str, Any]) -> M:
    if taken := own.keys() & fields:
        raise ValueError(f"{min(taken)} is no field of a plugin's own")
    try:
        text = to_json({**fields, **own}, inf_nan_mode="constants")
        return kind.model_validate_json(text, by_alias=False, by_name=True)
    except Exception as problem:  # a validator of the class may raise anything
        raise ValueError(_said(problem)) from None


def _said(problem: Exception) -> str:
    """Where and what, without the input: that may be long, hostile or secret."""
    if isinstance(problem, ValidationError):
        text = _first(problem)
    else:
        text = f"{type(problem).__name__}: {problem}"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:500])


def _first(problem: ValidationError) -> str:
    error = problem.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in error["loc"])[:200]
    return f"{place}{': ' * bool(place)}{error['msg']}"
