"""Observations cross the wire whole, and hold nothing hostile where a name is expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tether_runtime_client.protocol.errors import ERRORS_BY_CODE
from tether_runtime_client.protocol.events import Event
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.observations import (
    CmdOutputObservation,
    ErrorObservation,
    ExecObservation,
    Observation,
    observation_adapter,
)

from .messages import OBSERVATIONS, message


@pytest.mark.parametrize("kind", OBSERVATIONS)
@given(data=st.data())
def test_what_is_sent_is_what_comes(kind: type[Observation], data: st.DataObject) -> None:
    observation = data.draw(message(kind))
    assert observation_adapter.validate_json(to_json(observation)) == observation


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_observations_are_events_with_a_tag_of_their_own(kind: type[Observation]) -> None:
    assert issubclass(kind, Event)
    assert "event" not in kind.model_fields
    tags = [k.model_fields["observation"].default for k in OBSERVATIONS]
    assert tags.count(kind.model_fields["observation"].default) == 1
    assert kind.__doc__


def test_an_exit_code_that_is_not_there_yet_crosses_the_wire() -> None:
    running = CmdOutputObservation(content="", exit_code=None, status="running", cwd="/")
    assert observation_adapter.validate_json(to_json(running)) == running


def test_bytes_are_exact() -> None:
    every = bytes(range(256)) * 3
    done = ExecObservation(exit_code=0, stdout=every, stderr=every[::-1])
    assert observation_adapter.validate_json(to_json(done)) == done


@pytest.mark.parametrize("code", ["", "a b", "A", "x\n", "é", "\x1b[31m", "a" * 65, "a;b", "../x"])
def test_an_error_code_is_a_plain_word(code: str) -> None:
    with pytest.raises(ValidationError):
        ErrorObservation(code=code, message="")


@pytest.mark.parametrize("code", sorted(ERRORS_BY_CODE))
def test_every_code_of_the_table_fits(code: str) -> None:
    assert ErrorObservation(code=code, message="").code == code


# --- what no JSON can hold ---------------------------------------------------------------------


def test_text_that_is_no_unicode_gets_replacement_characters() -> None:
    error = ErrorObservation(code="x", message="a\udcffb", data={"p\udc80": ["\ud800", {"q": "é"}]})
    told = observation_adapter.validate_json(to_json(error))
    assert told == ErrorObservation(code="x", message="a�b", data={"p�": ["�", {"q": "é"}]})


def test_text_that_is_no_unicode_can_be_refused() -> None:
    with pytest.raises(UnicodeError):
        to_json(ErrorObservation(code="x", message="a\udcffb"), lone="strict")
    pair = to_json(ErrorObservation(code="x", message="\ud83d\ude00"), lone="strict")
    assert "😀".encode() in pair


def test_a_surrogate_pair_in_two_parts_becomes_the_character_it_is() -> None:
    told = observation_adapter.validate_json(
        to_json(ErrorObservation(code="x", message="\ud83d\ude00"))
    )
    assert isinstance(told, ErrorObservation)
    assert told.message == "😀"


def test_data_of_an_unknown_type_is_told_by_its_repr() -> None:
    class Strange:
        def __repr__(self) -> str:
            return "strange"

    error = ErrorObservation(
        code="x", message="", data={"a": Strange(), "b": (1, None, 2.5, True), "c": b"ok"}
    )
    told = observation_adapter.validate_json(to_json(error))
    assert isinstance(told, ErrorObservation)
    assert told.data["a"] == "strange"
    assert told.data["b"] == [1, None, 2.5, True]


def test_nested_messages_survive_the_repair() -> None:
    name = "a\udc80"
    text = to_json(
        CmdOutputObservation.model_validate(
            {
                "content": name,
                "status": "completed",
                "exit_code": 0,
                "cwd": name,
                "foreground": (name,),
                "state_lost": {"cause": "exit", "reason": name, "kept": (name,)},
            }
        )
    )
    told = observation_adapter.validate_json(text)
    assert isinstance(told, CmdOutputObservation)
    assert told.state_lost is not None
    assert (told.cwd, told.foreground, told.state_lost.kept) == ("a�", ("a�",), ("a�",))
