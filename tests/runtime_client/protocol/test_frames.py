"""Frames on the wire: what is written is what is read, and everything else is told precisely."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol.actions import CmdRunAction, ExecAction
from tether_runtime_client.protocol.errors import InvalidAction, MalformedFrame
from tether_runtime_client.protocol.events import ActionAccepted, Event
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    RejectedSubmission,
    SubmitFrame,
    decode_from_client,
    decode_from_server,
    digest,
    encode,
    encode_numbered,
    read_number,
)
from tether_runtime_client.protocol.limits import MAX_EPOCHS, MAX_SEQUENCE
from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.observations import DoneObservation, ErrorObservation

from .messages import FROM_CLIENT, FROM_SERVER, OBSERVATIONS, SANDBOX_EVENTS, message

EPOCH = "0123456789abcdef"


@pytest.mark.parametrize("kind", FROM_SERVER)
@given(data=st.data())
def test_what_a_server_sends_is_what_comes(kind: type[Message], data: st.DataObject) -> None:
    frame = data.draw(message(kind))
    assert decode_from_server(encode(frame)) == frame


@pytest.mark.parametrize("kind", FROM_CLIENT)
@given(data=st.data())
def test_what_a_client_sends_is_what_comes(kind: type[Message], data: st.DataObject) -> None:
    frame = data.draw(message(kind))
    assert decode_from_client(encode(frame)) == frame


@pytest.mark.parametrize("kind", [*SANDBOX_EVENTS, *OBSERVATIONS])
@given(data=st.data())
def test_a_numbered_event_is_written_like_its_frame(kind: type[Event], data: st.DataObject) -> None:
    event: Any = data.draw(message(kind))
    seq = data.draw(st.integers(0, MAX_SEQUENCE))
    if kind in OBSERVATIONS:
        frame: Message = ObservationFrame(epoch=EPOCH, seq=seq, observation=event)
    else:
        frame = EventFrame(epoch=EPOCH, seq=seq, event=event)
    written = encode_numbered(EPOCH, seq, event)
    assert written == encode(frame)
    assert decode_from_client(written) == frame
    number = read_number(written)
    assert number is not None
    assert (number.epoch, number.seq, number.is_final) == (EPOCH, seq, kind in OBSERVATIONS)


def test_directions_do_not_mix() -> None:
    accepted = encode_numbered(EPOCH, 1, ActionAccepted(kind="run"))
    with pytest.raises(MalformedFrame, match="Input tag 'event'"):
        decode_from_server(accepted)
    with pytest.raises(MalformedFrame, match="Input tag 'submit'"):
        decode_from_client(encode(SubmitFrame(id="a", action=CmdRunAction(command="x"))))


DEEP = b"[" * 150 + b"]" * 150
BROKEN = {
    "empty": b"",
    "not JSON": b"hello",
    "half": b'{"type":"hel',
    "not UTF-8": b'{"type":"\xff\xfe"}',
    "a lone surrogate": b'{"type":"hello","nonce":"\\ud800"}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a huge number": b"9" * 5000,
    "deep": b"[" * 100_000,
    "no type": b"{}",
    "an unknown type": b'{"type":"surprise"}',
    "a type that is none": b'{"type":{"a":[]}}',
    "an unknown field": b'{"type":"ack","epoch":"0123456789abcdef","seq":1,"x":1}',
    "two values": b"{}{}",
    "NUL": b"\x00",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_frame_is_told_with_its_place(text: bytes) -> None:
    for decode in (decode_from_client, decode_from_server):
        with pytest.raises(MalformedFrame) as caught:
            decode(text)
        assert caught.value.message.startswith("the frame cannot be read: ")
        assert len(caught.value.message) < 600
        assert caught.value.__cause__ is None, "the input is not dragged along"


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_no_bytes_do_more_than_that(text: bytes) -> None:
    for decode in (decode_from_client, decode_from_server):
        with pytest.raises(MalformedFrame):
            decode(text)
    assert read_number(text) is None


def client_frame(**changes: Any) -> bytes:
    frame = {"type": "event", "epoch": EPOCH, "seq": 1, "event": {"event": "accepted", "kind": "x"}}
    return json.dumps({**frame, **changes}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": ""},
        {"epoch": "x" * 16},
        {"epoch": "A" * 16},
        {"epoch": "0" * 33},
        {"epoch": "0" * 7},
        {"epoch": EPOCH + "\n"},
        {"epoch": None},
        {"seq": -1},
        {"seq": 2**53},
        {"seq": 10**30},
        {"seq": 1.5},
        {"seq": "x"},
        {"seq": None},
        {"event": {"event": "accepted", "kind": "x", "action_id": "x" * 129}},
    ],
    ids=str,
)
def test_numbers_and_epochs_of_an_inventive_client_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        decode_from_client(client_frame(**changes))
    decode_from_client(client_frame())


def test_what_grows_with_an_attach_or_a_welcome_is_bounded() -> None:
    have = {f"{i:016x}": 1 for i in range(MAX_EPOCHS + 1)}
    attach = {"type": "attach", "proof": "0" * 64, "have": have}
    with pytest.raises(MalformedFrame, match="have: Dictionary should have at most"):
        decode_from_server(json.dumps(attach).encode())
    spans = [{"epoch": epoch, "first": 1, "last": 2} for epoch in have]
    welcome = {"type": "welcome", "epoch": EPOCH, "fence": 1, "epochs": spans}
    with pytest.raises(MalformedFrame, match="epochs: Tuple should have at most"):
        decode_from_client(json.dumps(welcome).encode())


def test_free_form_data_may_be_as_deep_as_the_parser_goes() -> None:
    head = b'{"type":"observation","epoch":"%b","seq":1,"observation":' % EPOCH.encode()
    error = b'{"observation":"error","code":"x","message":"","data":{"a":%b}}}' % DEEP
    frame = decode_from_client(head + error)
    assert isinstance(frame, ObservationFrame)
    assert decode_from_client(encode(frame)) == frame


# --- submissions that are unusable -------------------------------------------------------------


def submit(action: Any, action_id: Any = "a1") -> bytes:
    return json.dumps({"type": "submit", "id": action_id, "action": action}).encode()


UNUSABLE = {
    "unknown action": ({"action": "fly"}, "action: Input tag 'fly'"),
    "no tag": ({"command": "x"}, "Unable to extract tag"),
    "no object": (7, "action: .*object"),
    "unknown field": ({"action": "run", "command": "x", "shell": 1}, "action.run.shell: Extra"),
    "missing field": ({"action": "run"}, "action.run.command: Field required"),
    "wrong type": ({"action": "run", "command": 7}, "action.run.command: Input should be"),
    "rule": ({"action": "exec"}, "action.exec: Value error, give exactly one of argv"),
    "base64": ({"action": "exec", "command": "x", "stdin": "*"}, "action.exec.stdin"),
    "more": ({"action": "run", "command": 7, "cwd": 7}, r"\(and 1 more\)"),
}


@pytest.mark.parametrize(("action", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_action_is_rejected_under_its_id(action: Any, problem: str) -> None:
    with pytest.raises(RejectedSubmission) as caught:
        decode_from_server(submit(action))
    assert caught.value.action_id == "a1"
    assert isinstance(caught.value.error, InvalidAction)
    assert re.search(problem, caught.value.error.message)


@pytest.mark.parametrize("action_id", ["", "x" * 129, None, 7, [], {}])
def test_without_a_usable_id_the_frame_itself_is_malformed(action_id: Any) -> None:
    with pytest.raises(MalformedFrame):
        decode_from_server(submit({"action": "fly"}, action_id))


@pytest.mark.parametrize("action_id", ["a/b", "a b", "é", "a\n", "\x1b[31m", ".." + "/" * 3])
def test_an_id_is_rejected_when_no_file_could_be_named_so(action_id: str) -> None:
    with pytest.raises(RejectedSubmission) as caught:
        decode_from_server(submit({"action": "run", "command": "x"}, action_id))
    assert caught.value.action_id == action_id


def test_the_input_is_not_repeated_in_the_error() -> None:
    secret = "hunter2" * 100
    with pytest.raises(RejectedSubmission) as caught:
        decode_from_server(submit({"action": "run", "command": [secret], "timeout_s": secret}))
    assert "hunter2" not in caught.value.error.message


def test_many_problems_make_a_short_error() -> None:
    env = {f"bad={i}": "x" for i in range(5000)}
    with pytest.raises(RejectedSubmission) as caught:
        decode_from_server(submit({"action": "run", "command": "x", "env": env}))
    assert len(caught.value.error.message) < 600


# --- what can still be told of a frame that cannot be read -------------------------------------


def test_an_unknown_event_still_has_its_number() -> None:
    found = read_number(client_frame(event={"event": "from_the_future", "x": [1]}))
    assert found is not None
    assert (found.epoch, found.seq, found.is_final, found.action_id) == (EPOCH, 1, False, None)


@pytest.mark.parametrize(
    ("content", "action_id"),
    [({"action_id": "a1"}, "a1"), ({"action_id": 7}, None), ({"action_id": "x" * 129}, None)],
)
def test_an_unknown_observation_still_has_its_action(
    content: dict[str, Any], action_id: str | None
) -> None:
    text = json.dumps({"type": "observation", "epoch": EPOCH, "seq": 5, "observation": content})
    found = read_number(text.encode())
    assert found is not None
    assert (found.is_final, found.seq, found.action_id) == (True, 5, action_id)


@pytest.mark.parametrize(
    "text",
    [
        client_frame(seq=-1),
        client_frame(epoch="no"),
        client_frame(type="welcome"),
        b'{"type":"observation","epoch":"0123456789abcdef","seq":1,"observation":7}',
        b'{"type":"event","epoch":"0123456789abcdef"}',
    ],
)
def test_other_frames_have_no_number(text: bytes) -> None:
    assert read_number(text) is None


def test_a_digest_is_the_sha256_of_the_bytes() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_message_that_cannot_be_encoded_even_so_says_it() -> None:
    """The recorder tells such an event by another; here it must not go out as something else."""
    broken = DoneObservation.model_construct(observation="done", seq=object(), time=0.0)
    with pytest.raises(ValueError, match="validation error"):
        encode_numbered(EPOCH, 1, broken)


def test_exec_input_is_exact() -> None:
    frame = SubmitFrame(id="a", action=ExecAction(argv=("x",), stdin=bytes(range(256))))
    assert decode_from_server(encode(frame)) == frame


def test_error_observations_keep_none_in_their_data() -> None:
    error = ErrorObservation(code="x", message="", data={"partial": None})
    frame = decode_from_client(encode_numbered(EPOCH, 1, error))
    assert isinstance(frame, ObservationFrame)
    assert isinstance(frame.observation, ErrorObservation)
    assert frame.observation.data == {"partial": None}
