"""Hypothesis strategies for every message, made from the models themselves."""

from __future__ import annotations

import types
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from pydantic.fields import FieldInfo

from tether_runtime_client.protocol import actions, bulk, events, frames, observations
from tether_runtime_client.protocol.message import Message

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
free_form = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


def members(union: Any) -> list[type[Message]]:
    """The classes of a tagged union."""
    return list(get_args(get_args(union)[0]))


ACTIONS = members(actions.AnyAction)
OBSERVATIONS = members(observations.AnyObservation)
SANDBOX_EVENTS = members(events.AnySandboxEvent)
SERVER_EVENTS = members(events.AnyServerEvent)
FROM_SERVER = members(frames.FromServer)
FROM_CLIENT = members(frames.FromClient)
BULK = members(bulk.BulkFrame)
FRAMES = [*FROM_SERVER, *FROM_CLIENT, *BULK]


@cache
def message(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any valid message of a class."""
    fields = {
        name: _of(field.annotation, field.metadata) for name, field in kind.model_fields.items()
    }
    valid = st.fixed_dictionaries(fields).map(lambda values: _valid(kind, values))
    return valid.filter(lambda made: made is not None)


def _valid(kind: type[Message], values: dict[str, Any]) -> Message | None:
    """None where a rule over several fields is broken."""
    try:
        return kind.model_validate(values)
    except ValidationError:
        return None


def _of(kind: Any, metadata: Iterable[Any] = ()) -> st.SearchStrategy[Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _of(args[0], _constraints(args[1:]))
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, types.UnionType):
        return st.one_of([_of(arg) for arg in args])
    if origin is tuple:
        if args[-1] is not Ellipsis:
            return st.tuples(*map(_of, args))
        return st.lists(_of(args[0]), min_size=_limit(metadata, MinLen, 0), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(_of(args[0]), _of(args[1]), max_size=3)
    return _plain(kind, metadata)


def _constraints(metadata: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in metadata:
        found.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return found


def _plain(kind: Any, metadata: Iterable[Any]) -> st.SearchStrategy[Any]:
    metadata = list(metadata)
    if kind is str:
        return _string(metadata)
    if kind is int:
        return st.integers(_limit(metadata, Ge, -(2**63)), _limit(metadata, Le, 2**63))
    if kind is float:
        low = _limit(metadata, Ge, None)
        return st.floats(min_value=low, allow_nan=False, allow_infinity=False)
    simple = {bool: st.booleans(), bytes: st.binary(max_size=30), type(None): st.none()}
    if kind in simple:
        return simple[kind]
    return free_form if kind in (Any, JsonValue) else message(kind)


def _string(metadata: list[Any]) -> st.SearchStrategy[str]:
    patterns = [p for item in metadata if (p := getattr(item, "pattern", None))]
    longest = _limit(metadata, MaxLen, 600)
    if patterns:
        matching = st.from_regex(patterns[0].replace("$", r"\Z"), fullmatch=True)
        return matching.filter(lambda value: len(value) <= longest and value.isprintable())
    return text.filter(lambda value: len(value) >= _limit(metadata, MinLen, 0))


def _limit(metadata: Iterable[Any], kind: type, default: Any) -> Any:
    names = {Ge: "ge", Le: "le", MinLen: "min_length", MaxLen: "max_length"}
    for item in metadata:
        if isinstance(item, kind):
            return getattr(item, names[kind])
    return default
