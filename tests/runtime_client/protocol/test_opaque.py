"""A plugin's messages arrive as they were, through JSON; hostile ones are refused."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue, SecretBytes, SecretStr, computed_field

from tether_runtime_client.protocol.actions import action_adapter
from tether_runtime_client.protocol.errors import InvalidAction
from tether_runtime_client.protocol.events import OpaqueEvent, PluginEvent
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    decode_from_client,
    encode_numbered,
)
from tether_runtime_client.protocol.message import Message, to_json
from tether_runtime_client.protocol.opaque import (
    answer_of,
    opaque_action,
    opaque_event,
    opaque_observation,
    tag_of,
    typed_action,
    typed_event,
    typed_observation,
)
from tether_runtime_client.protocol.plugin_actions import OpaqueAction, PluginAction
from tether_runtime_client.protocol.plugin_observations import (
    OpaqueObservation,
    PluginObservation,
)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Circle(Message):
    shape: Literal["circle"] = "circle"
    radius: float


class Note(Message):
    shape: Literal["note"] = "note"
    data: bytes
    under: tuple[Circle, ...] = ()


Shape = Annotated[Circle | Note, Field(discriminator="shape")]


class DrawObservation(PluginObservation):
    observation: Literal["draw.shapes"] = "draw.shapes"
    image: bytes
    shapes: tuple[Shape, ...] = ()
    scale: float = 1.0
    extra: JsonValue = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.image)


class DrawAction(PluginAction[DrawObservation]):
    action: Literal["draw.shapes"] = "draw.shapes"
    shapes: tuple[Shape, ...] = ()
    data: bytes = b""
    color: Color | None = Color.RED
    size: int | str | None = None
    named: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    caption: str = Field(default="none", alias="Caption")


class DrawProgress(PluginEvent):
    event: Literal["draw.progress"] = "draw.progress"
    done: float
    part: bytes = b""


class Untyped(PluginAction):
    action: Literal["draw.untyped"] = "draw.untyped"


class Kept(Message):
    key: SecretStr


class Loose(PluginObservation):
    observation: Literal["draw.loose"] = "draw.loose"
    anything: Any = None


CHARACTERS = st.characters(exclude_categories=["Cs"])
WORDS = st.text(CHARACTERS, max_size=20)
FLOATS = st.floats(allow_nan=False)
CIRCLES = st.builds(Circle, radius=FLOATS)
NOTES = st.builds(Note, data=st.binary(max_size=40), under=st.tuples(CIRCLES))
SHAPES = st.lists(CIRCLES | NOTES, max_size=3).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
ACTIONS = st.builds(
    DrawAction,
    action=st.just("draw.shapes"),
    shapes=SHAPES,
    data=st.binary(max_size=40),
    color=st.sampled_from(Color) | st.none(),
    size=st.integers() | WORDS | st.none(),
    named=st.dictionaries(WORDS, st.lists(st.integers()).map(tuple), max_size=3),
    Caption=WORDS,
)
COMMON = {
    "seq": st.integers(0, 2**40),
    "time": st.floats(0, 2e9),
    "action_id": st.none() | st.just("abc"),
}


@given(ACTIONS)
def test_an_action_comes_back_as_it_was(action: DrawAction) -> None:
    sent = opaque_action(action)
    came = action_adapter.validate_json(to_json(sent))
    assert isinstance(came, OpaqueAction)
    assert (came.kind, came.plugin) == ("draw.shapes", "draw")
    assert typed_action(came, DrawAction) == action


@given(
    st.builds(
        DrawObservation,
        image=st.binary(max_size=100),
        shapes=SHAPES,
        scale=FLOATS,
        extra=JSON,
        **COMMON,
    )
)
def test_an_observation_comes_back_as_it_was(observation: DrawObservation) -> None:
    frame = decode_from_client(encode_numbered("ab" * 8, 1, opaque_observation(observation)))
    assert isinstance(frame, ObservationFrame)
    assert isinstance(frame.observation, OpaqueObservation)
    assert typed_observation(frame.observation, DrawObservation) == observation


@given(st.builds(DrawProgress, done=FLOATS, part=st.binary(max_size=100), **COMMON))
def test_an_event_comes_back_as_it_was(event: DrawProgress) -> None:
    frame = decode_from_client(encode_numbered("ab" * 8, 1, opaque_event(event)))
    assert isinstance(frame, EventFrame)
    assert isinstance(frame.event, OpaqueEvent)
    assert typed_event(frame.event, DrawProgress) == event


def test_numbers_that_are_none_arrive() -> None:
    sent = opaque_event(DrawProgress(done=math.nan))
    frame = decode_from_client(encode_numbered("ab" * 8, 1, sent))
    assert isinstance(frame, EventFrame)
    assert isinstance(frame.event, OpaqueEvent)
    assert math.isnan(typed_event(frame.event, DrawProgress).done)


def test_defaults_are_written() -> None:
    """Another version of the class may have others."""
    assert opaque_action(DrawAction()).fields["color"] == "red"


def test_the_answer_stands_in_the_brackets() -> None:
    assert answer_of(DrawAction) is DrawObservation
    assert answer_of(Untyped) is None
    assert tag_of(DrawAction, "action") == "draw.shapes"
    assert tag_of(DrawProgress, "event") == "draw.progress"
    assert tag_of(PluginEvent, "event") is None
    assert tag_of(PluginAction, "action") is None


def test_an_action_whose_tag_is_no_plugins_cannot_be_sent() -> None:
    class Nameless(PluginAction):
        action: Literal["nameless"] = "nameless"

    with pytest.raises(InvalidAction, match="Nameless cannot be sent: kind"):
        opaque_action(Nameless())


def test_an_action_with_what_json_cannot_hold_cannot_be_sent() -> None:
    class Odd(PluginAction):
        action: Literal["draw.odd"] = "draw.odd"
        what: Any

    with pytest.raises(InvalidAction, match="Odd cannot be sent"):
        opaque_action(Odd(what=object()))


@pytest.mark.parametrize(
    "secret", [SecretStr("x"), [SecretBytes(b"x")], {"a": (Kept(key=SecretStr("x")),)}]
)
def test_a_secret_is_not_sent_as_asterisks(secret: object) -> None:
    class Login(PluginAction):
        action: Literal["draw.login"] = "draw.login"
        what: Any

    with pytest.raises(InvalidAction, match="Login holds a secret"):
        opaque_action(Login(what=secret))


def test_an_observation_with_what_json_cannot_hold_tells_it_all_the_same() -> None:
    assert "object" in str(opaque_observation(Loose(anything=object())).fields["anything"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image": "!"},
        {"image": "", "more": 1},
        {"image": "", "seq": 7},
        {"image": "", "action_id": "another"},
        {"image": "", "observation": "draw.shapes"},
        {"image": "", "shapes": [{"shape": "none"}]},
        {"image": "", "shapes": {}},
    ],
)
def test_what_is_none_of_the_class_is_refused(fields: dict[str, JsonValue]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        typed_observation(OpaqueObservation(kind="draw.shapes", fields=fields), DrawObservation)


def test_another_kind_is_refused_without_repeating_what_came() -> None:
    came = OpaqueObservation(kind="draw.other", fields={"image": "secret" * 2})
    with pytest.raises(ValueError, match=r"^observation: ") as refusal:
        typed_observation(came, DrawObservation)
    assert "secret" not in str(refusal.value)


def test_nothing_of_a_refusal_moves_a_cursor() -> None:
    came = OpaqueObservation(kind="draw.shapes", fields={"image": "", "\x1b[2J" * 999: 1})
    with pytest.raises(ValueError, match=r"Extra inputs") as refusal:
        typed_observation(came, DrawObservation)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 500
