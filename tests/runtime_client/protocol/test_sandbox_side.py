"""The client's end of a connection: every frame in every state, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.actions import CmdRunAction
from tether_runtime_client.protocol.errors import (
    ControllerBusy,
    FrameTooLarge,
    InvalidAction,
    MalformedFrame,
    ProtocolError,
    Unauthorized,
    UnexpectedFrame,
    VersionMismatch,
)
from tether_runtime_client.protocol.frames import (
    AckFrame,
    AttachFrame,
    ChallengeFrame,
    ErrorFrame,
    FromClient,
    HelloFrame,
    RejectedFrame,
    Role,
    StoredEvent,
    SubmitFrame,
    decode_from_client,
    encode,
)
from tether_runtime_client.protocol.limits import MAX_HANDSHAKE_FRAME, MAX_TEXT, PROTOCOL_VERSION
from tether_runtime_client.protocol.sandbox_side import (
    Acknowledge,
    Attach,
    Close,
    SandboxSide,
    Send,
    Step,
    Submit,
    reject,
)

from .known import Known

SECRET, OURS, THEIRS = "5" * 64, "c" * 32, "d" * 32
EPOCH = "0123456789abcdef"
HELLO = HelloFrame(version=PROTOCOL_VERSION, nonce=THEIRS)
SUBMIT = SubmitFrame(id="a1", action=CmdRunAction(command="true"))
ACK = AckFrame(epoch=EPOCH, seq=3)


def attach(**changes: Any) -> AttachFrame:
    fields = {"proof": auth.server_proof(SECRET, THEIRS, OURS), **changes}
    return AttachFrame(**fields)


def fresh() -> SandboxSide:
    return SandboxSide(Known(SECRET), OURS)


def greeted() -> SandboxSide:
    side = fresh()
    side.receive(encode(HELLO))
    return side


def attaching(role: Role = "controller") -> SandboxSide:
    side = greeted()
    side.receive(encode(attach(role=role)))
    return side


def admitted(role: Role = "controller") -> SandboxSide:
    side = attaching(role)
    side.admit(role)
    return side


STATES = {
    "fresh": fresh,
    "greeted": greeted,
    "attaching": attaching,
    "controller": admitted,
    "operator": lambda: admitted("operator"),
}


def answer(steps: list[Step]) -> FromClient:
    """The frame of a single `Send`."""
    (send,) = steps
    assert isinstance(send, Send)
    return decode_from_client(send.text)


def refusal(steps: list[Step], side: SandboxSide) -> ProtocolError:
    """The error of a refused connection; it was sent before the close."""
    send, close = steps
    assert isinstance(send, Send)
    assert isinstance(close, Close)
    frame = decode_from_client(send.text)
    assert isinstance(frame, ErrorFrame)
    told = (frame.code, frame.message, frame.hint)
    assert told == (close.error.code, close.error.message, close.error.hint)
    assert side.closed
    assert side.receive(encode(HELLO)) == [], "nothing is looked at any more"
    return close.error


# --- the straight path -------------------------------------------------------------------------


def test_a_hello_is_answered_with_proof() -> None:
    frame = answer(fresh().receive(encode(HELLO)))
    assert isinstance(frame, ChallengeFrame)
    assert (frame.version, frame.nonce) == (PROTOCOL_VERSION, OURS)
    assert frame.proof == auth.client_proof(SECRET, THEIRS, OURS)


def test_an_attach_asks_for_its_role_and_tells_what_is_stored() -> None:
    newest = StoredEvent(epoch=EPOCH, seq=7, sha256="0" * 64)
    frame = attach(role="operator", takeover=True, have={EPOCH: 7}, newest=newest)
    side = greeted()
    assert side.receive(encode(frame)) == [Attach("operator", True, {EPOCH: 7}, newest)]
    assert side.role is None
    side.admit("operator")
    assert side.role == "operator"


@pytest.mark.parametrize("role", ["controller", "operator"])
def test_actions_are_taken_from_either_role(role: Role) -> None:
    side = admitted(role)
    assert side.receive(encode(SUBMIT)) == [Submit("a1", CmdRunAction(command="true"))]
    assert side.receive(encode(SUBMIT)) == [Submit("a1", CmdRunAction(command="true"))]


def test_only_a_controller_acknowledges() -> None:
    assert admitted().receive(encode(ACK)) == [Acknowledge(EPOCH, 3)]
    side = admitted("operator")
    error = refusal(side.receive(encode(ACK)), side)
    assert "only the controller" in error.message


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1, 10**9, -1])
def test_another_version_is_refused(version: int) -> None:
    side = fresh()
    error = refusal(side.receive(encode(HelloFrame(version=version, nonce=THEIRS))), side)
    assert isinstance(error, VersionMismatch)
    assert str(version) in error.message
    assert "runtime-build" in error.hint


@pytest.mark.parametrize(
    "proof",
    [
        auth.server_proof("6" * 64, THEIRS, OURS),
        auth.client_proof(SECRET, THEIRS, OURS),
        auth.server_proof(SECRET, OURS, THEIRS),
        auth.server_proof(SECRET, THEIRS, "e" * 32),
        "0" * 64,
    ],
    ids=["another secret", "our own proof", "swapped", "another connection", "zeros"],
)
def test_a_wrong_proof_is_refused(proof: str) -> None:
    side = greeted()
    error = refusal(side.receive(encode(attach(proof=proof))), side)
    assert isinstance(error, Unauthorized)
    assert side.role is None


OUT_OF_ORDER = [
    ("fresh", attach()),
    ("fresh", SUBMIT),
    ("fresh", ACK),
    ("greeted", HELLO),
    ("greeted", SUBMIT),
    ("greeted", ACK),
    ("attaching", HELLO),
    ("attaching", attach()),
    ("attaching", SUBMIT),
    ("attaching", ACK),
    ("controller", HELLO),
    ("controller", attach()),
    ("operator", HELLO),
    ("operator", attach()),
    ("operator", ACK),
]


@pytest.mark.parametrize(("state", "frame"), OUT_OF_ORDER)
def test_frames_out_of_order_end_the_connection(state: str, frame: Any) -> None:
    side = STATES[state]()
    assert isinstance(refusal(side.receive(encode(frame)), side), UnexpectedFrame)


GARBAGE = [b"", b"x", b"[]", b"\xff", b'{"type":"welcome"}', b'{"type":"hello","version":1}']


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_ends_the_connection_in_every_state(state: str, text: bytes) -> None:
    side = STATES[state]()
    assert isinstance(refusal(side.receive(text), side), MalformedFrame)


@pytest.mark.parametrize("state", ["fresh", "greeted", "attaching"])
def test_a_stranger_may_not_send_long_frames(state: str) -> None:
    text = b'{"type":"' + b"x" * MAX_HANDSHAKE_FRAME
    side = STATES[state]()
    error = refusal(side.receive(text), side)
    assert isinstance(error, FrameTooLarge)
    assert f"{len(text):,}" in error.message


def test_whoever_is_attached_may() -> None:
    action = CmdRunAction(command="x" * (MAX_HANDSHAKE_FRAME + 1))
    (step,) = admitted().receive(encode(SubmitFrame(id="a", action=action)))
    assert isinstance(step, Submit)


def test_an_unusable_action_is_rejected_and_the_connection_lives() -> None:
    text = json.dumps({"type": "submit", "id": "a1", "action": {"action": "fly"}}).encode()
    side = admitted()
    frame = answer(side.receive(text))
    assert isinstance(frame, RejectedFrame)
    assert (frame.id, frame.code) == ("a1", "invalid_action")
    assert not side.closed
    assert side.receive(encode(SUBMIT))


@pytest.mark.parametrize("state", ["fresh", "greeted", "attaching"])
def test_a_stranger_s_unusable_action_is_not_looked_at(state: str) -> None:
    text = json.dumps({"type": "submit", "id": "a1", "action": {"action": "fly"}}).encode()
    side = STATES[state]()
    assert isinstance(refusal(side.receive(text), side), UnexpectedFrame)


def test_the_shell_may_refuse_too_and_twice() -> None:
    side = attaching()
    error = ControllerBusy("somebody is there")
    assert refusal(side.fail(error), side) is error
    assert len(side.fail(error)) == 2


def test_long_texts_are_cut_to_what_a_frame_takes() -> None:
    side = fresh()
    (send, _) = side.fail(ProtocolError("é" * 9999, hint="x" * 9999))
    assert isinstance(send, Send)
    frame = decode_from_client(send.text)
    assert isinstance(frame, ErrorFrame)
    assert (len(frame.message), len(frame.hint)) == (MAX_TEXT, MAX_TEXT)
    rejected = answer([reject("a", InvalidAction("é" * 9999, hint="x" * 9999, path="p"))])
    assert isinstance(rejected, RejectedFrame)
    assert (len(rejected.message), len(rejected.hint)) == (MAX_TEXT, MAX_TEXT)
    assert rejected.data == {"path": "p"}


FRAMES = [encode(frame) for frame in (HELLO, attach(), SUBMIT, ACK)]


@given(st.lists(st.sampled_from(FRAMES) | st.binary(max_size=30), max_size=12), st.booleans())
def test_no_order_of_frames_raises_or_runs_anything_unproved(
    texts: list[bytes], admit: bool
) -> None:
    side = fresh()
    for text in texts:
        steps = side.receive(text)
        for step in steps:
            if isinstance(step, Submit | Acknowledge):
                assert side.role is not None
            if isinstance(step, Attach) and admit:
                side.admit(step.role)
            if isinstance(step, Close):
                assert step is steps[-1]
