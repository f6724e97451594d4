"""Events cross the wire whole; what only the server sees cannot come from a client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tether_runtime_client.protocol.events import (
    AnySandboxEvent,
    Event,
    HistoryGap,
    server_event_adapter,
)
from tether_runtime_client.protocol.message import to_json

from .messages import SANDBOX_EVENTS, SERVER_EVENTS, message

sandbox_event_adapter: TypeAdapter[Event] = TypeAdapter(AnySandboxEvent)


@pytest.mark.parametrize("kind", SANDBOX_EVENTS)
@given(data=st.data())
def test_what_the_client_tells_is_what_comes(kind: type[Event], data: st.DataObject) -> None:
    event = data.draw(message(kind))
    assert sandbox_event_adapter.validate_json(to_json(event)) == event


@pytest.mark.parametrize("kind", SERVER_EVENTS)
@given(data=st.data())
def test_what_the_server_stores_is_what_is_read(kind: type[Event], data: st.DataObject) -> None:
    event = data.draw(message(kind))
    assert server_event_adapter.validate_json(to_json(event)) == event


@pytest.mark.parametrize("kind", [*SANDBOX_EVENTS, *SERVER_EVENTS])
def test_events_have_a_tag_of_their_own_and_a_docstring(kind: type[Event]) -> None:
    kinds = {k.model_fields["event"].default: k for k in [*SANDBOX_EVENTS, *SERVER_EVENTS]}
    assert kinds[kind.model_fields["event"].default] is kind
    assert kind.__doc__


def test_only_a_gap_is_told_by_either_side() -> None:
    assert set(SANDBOX_EVENTS) & set(SERVER_EVENTS) == {HistoryGap}


@pytest.mark.parametrize("kind", [k for k in SERVER_EVENTS if k is not HistoryGap])
@given(data=st.data())
def test_a_client_cannot_tell_what_only_the_server_sees(
    kind: type[Event], data: st.DataObject
) -> None:
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        sandbox_event_adapter.validate_json(to_json(data.draw(message(kind))))


def test_an_action_id_is_bounded() -> None:
    with pytest.raises(ValidationError, match="at most 128"):
        Event(action_id="x" * 129)
