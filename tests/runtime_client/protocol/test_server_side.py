"""The server's end of a connection: what comes is hostile until proved otherwise, and after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import (
    ControllerBusy,
    Fenced,
    FrameTooLarge,
    MalformedFrame,
    ProtocolError,
    Unauthorized,
    UnexpectedFrame,
    VersionMismatch,
)
from tether_runtime_client.protocol.events import ActionAccepted, HistoryGap
from tether_runtime_client.protocol.frames import (
    AttachFrame,
    ChallengeFrame,
    EpochRange,
    ErrorFrame,
    EventFrame,
    HelloFrame,
    ObservationFrame,
    RejectedFrame,
    StoredEvent,
    WelcomeFrame,
    decode_from_client,
    decode_from_server,
    encode,
    encode_numbered,
)
from tether_runtime_client.protocol.limits import MAX_EPOCHS, MAX_HANDSHAKE_FRAME, PROTOCOL_VERSION
from tether_runtime_client.protocol.observations import DoneObservation, ErrorObservation
from tether_runtime_client.protocol.server_side import Gap, Replaced, ServerSide

SECRET, OURS, THEIRS = "5" * 64, "d" * 32, "c" * 32
LIVE, OLD = "0123456789abcdef", "fedcba9876543210"
REJECTED = RejectedFrame(id="a", code="disk_full", message="full")


def challenge(**changes: Any) -> ChallengeFrame:
    proof = auth.client_proof(SECRET, OURS, THEIRS)
    return ChallengeFrame(
        **{"version": PROTOCOL_VERSION, "nonce": THEIRS, "proof": proof, **changes}
    )


def welcome(*spans: tuple[str, int, int]) -> WelcomeFrame:
    epochs = tuple(EpochRange(epoch=e, first=first, last=last) for e, first, last in spans)
    return WelcomeFrame(epoch=LIVE, fence=1, epochs=epochs)


def event(seq: int, epoch: str = LIVE) -> bytes:
    return encode_numbered(epoch, seq, ActionAccepted(kind=f"number {seq}"))


def fresh(progress: dict[str, int] | None = None) -> ServerSide:
    return ServerSide(SECRET, OURS, progress or {})


def challenged(progress: dict[str, int] | None = None) -> ServerSide:
    side = fresh(progress)
    side.receive(encode(challenge()))
    return side


def attached(*spans: tuple[str, int, int], progress: dict[str, int] | None = None) -> ServerSide:
    side = challenged(progress)
    side.receive(encode(welcome(*spans or ((LIVE, 1, 0),))))
    return side


def refused(side: ServerSide, text: bytes) -> ProtocolError:
    """The error a message causes; after it nothing is looked at."""
    with pytest.raises(ProtocolError) as caught:
        side.receive(text)
    assert side.failed
    assert side.receive(event(1)) == ([], None)
    assert side.receive(b"garbage") == ([], None)
    return caught.value


# --- the handshake -----------------------------------------------------------------------------


def test_the_straight_path() -> None:
    newest = StoredEvent(epoch=OLD, seq=4, sha256="0" * 64)
    side = ServerSide(SECRET, OURS, {OLD: 4}, role="operator", takeover=True, newest=newest)
    hello = decode_from_server(side.hello())
    assert hello == HelloFrame(version=PROTOCOL_VERSION, nonce=OURS)
    incoming, answer = side.receive(encode(challenge()))
    assert incoming == []
    assert answer is not None
    proof = auth.server_proof(SECRET, OURS, THEIRS)
    assert decode_from_server(answer) == AttachFrame(
        proof=proof, role="operator", takeover=True, have={OLD: 4}, newest=newest
    )
    assert not side.caught_up
    frame = welcome((OLD, 5, 4), (LIVE, 1, 0))
    assert side.receive(encode(frame)) == ([frame], None)
    assert side.welcome == frame
    assert side.caught_up


def test_of_many_lives_only_the_newest_are_spoken_of() -> None:
    progress = {f"{i:016x}": 1 for i in range(MAX_EPOCHS + 5)}
    _, answer = fresh(progress).receive(encode(challenge()))
    assert answer is not None
    frame = decode_from_server(answer)
    assert isinstance(frame, AttachFrame)
    assert list(frame.have) == list(progress)[-MAX_EPOCHS:]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"version": PROTOCOL_VERSION + 1}, VersionMismatch),
        ({"proof": auth.server_proof(SECRET, OURS, THEIRS)}, Unauthorized),
        ({"proof": auth.client_proof("6" * 64, OURS, THEIRS)}, Unauthorized),
        ({"proof": auth.client_proof(SECRET, THEIRS, OURS)}, Unauthorized),
        ({"nonce": "e" * 32}, Unauthorized),
    ],
)
def test_an_impostor_learns_nothing(changes: dict[str, Any], kind: type[ProtocolError]) -> None:
    assert isinstance(refused(fresh(), encode(challenge(**changes))), kind)


OUT_OF_ORDER = [
    (fresh, encode(welcome((LIVE, 1, 0)))),
    (fresh, event(1)),
    (fresh, encode(REJECTED)),
    (challenged, encode(challenge())),
    (challenged, event(1)),
    (challenged, encode(REJECTED)),
    (attached, encode(challenge())),
    (attached, encode(welcome((LIVE, 1, 0)))),
]


@pytest.mark.parametrize(("state", "text"), OUT_OF_ORDER)
def test_frames_out_of_order(state: Any, text: bytes) -> None:
    assert isinstance(refused(state(), text), UnexpectedFrame)


@pytest.mark.parametrize("state", [fresh, challenged, attached])
@pytest.mark.parametrize("text", [b"", b"x", b"{}", b'{"type":"ack","epoch":"x","seq":1}'])
def test_garbage_in_every_state(state: Any, text: bytes) -> None:
    assert isinstance(refused(state(), text), MalformedFrame)


def test_a_stranger_may_not_send_long_frames() -> None:
    assert isinstance(refused(fresh(), b"x" * (MAX_HANDSHAKE_FRAME + 1)), FrameTooLarge)


def test_a_rejection_is_handed_on() -> None:
    assert attached().receive(encode(REJECTED)) == ([REJECTED], None)


# --- the client's own refusals -----------------------------------------------------------------


def error(code: str) -> bytes:
    return encode(ErrorFrame(code=code, message="because", hint="do this"))


@pytest.mark.parametrize("state", [challenged, attached])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("fenced", Fenced),
        ("controller_busy", ControllerBusy),
        ("unauthorized", Unauthorized),
        ("disk_full", ProtocolError),
        ("no_such_code", ProtocolError),
    ],
)
def test_a_proved_client_s_word_counts(state: Any, code: str, kind: type[ProtocolError]) -> None:
    told = refused(state(), error(code))
    assert type(told) is kind
    assert told.message == "because"


@pytest.mark.parametrize("code", ["fenced", "controller_busy", "unauthorized", "ticket_invalid"])
def test_who_did_not_prove_itself_ends_nothing_for_good(code: str) -> None:
    told = refused(fresh(), error(code))
    assert type(told) is Unauthorized
    assert "because" in told.message


def test_another_version_may_say_so_at_once() -> None:
    told = refused(fresh(), error("version_mismatch"))
    assert type(told) is VersionMismatch
    assert told.hint == "do this"


# --- what the welcome tells --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "span", "expected", "gap"),
    [
        ({}, (LIVE, 1, 0), 1, None),
        ({}, (LIVE, 1, 5), 1, None),
        ({LIVE: 5}, (LIVE, 1, 9), 6, None),
        ({LIVE: 5}, (LIVE, 6, 9), 6, None),
        ({LIVE: 5}, (LIVE, 6, 5), 6, None),
        ({LIVE: 5}, (LIVE, 8, 9), 8, (6, 7, 7)),
        ({LIVE: 5}, (LIVE, 10, 9), 10, (6, 9, 9)),
        ({}, (LIVE, 4, 3), 4, (1, 3, 3)),
        ({LIVE: 9}, (LIVE, 1, 5), 6, (6, 9, 5)),
        ({LIVE: 9}, (LIVE, 1, 0), 1, (1, 9, 0)),
        ({OLD: 9}, (OLD, 1, 5), 10, (10, None, 9)),
        ({OLD: 2}, (OLD, 1, 5), 3, None),
        ({OLD: 2}, (OLD, 5, 5), 5, (3, 4, 4)),
    ],
)
def test_gaps_and_where_to_go_on(
    progress: dict[str, int],
    span: tuple[str, int, int],
    expected: int,
    gap: tuple[int, int | None, int] | None,
) -> None:
    side = challenged(progress)
    incoming, _ = side.receive(encode(welcome(span)))
    assert isinstance(incoming[-1], WelcomeFrame)
    told = [(g.epoch, g.first, g.last, g.stored) for g in incoming if isinstance(g, Gap)]
    assert told == ([(span[0], *gap)] if gap else [])
    assert len(side.receive(event(expected, span[0]))[0]) == 1


def test_a_sandbox_that_was_set_back_is_told_apart_from_one_that_forgot() -> None:
    back, _ = challenged({LIVE: 9}).receive(encode(welcome((LIVE, 1, 5))))
    forgot, _ = challenged({LIVE: 5}).receive(encode(welcome((LIVE, 8, 9))))
    assert isinstance(back[0], Gap)
    assert isinstance(forgot[0], Gap)
    assert "set back" in back[0].reason
    assert "set back" not in forgot[0].reason


def test_everything_announced_has_to_come() -> None:
    side = attached((OLD, 1, 2), (LIVE, 1, 1))
    for text in (event(1, OLD), event(1), event(2, OLD)):
        assert not side.caught_up
        side.receive(text)
    assert side.caught_up


def test_an_epoch_that_is_announced_twice_does_no_harm() -> None:
    side = attached((LIVE, 1, 2), (LIVE, 1, 3))
    for seq in (1, 2, 3):
        assert side.receive(event(seq))[0]
    assert side.caught_up


# --- numbered frames ---------------------------------------------------------------------------


def test_each_event_is_handed_on_once_and_in_order() -> None:
    side = attached((LIVE, 1, 3), progress={LIVE: 1})
    handed = [side.receive(event(seq))[0] for seq in (1, 2, 2, 3, 1, 3, 4)]
    assert handed == [
        [],
        [decode_from_client(event(2))],
        [],
        [decode_from_client(event(3))],
        [],
        [],
        [decode_from_client(event(4))],
    ]


def test_a_missing_event_is_not_passed_over() -> None:
    side = attached()
    side.receive(event(1))
    assert "event 2 of epoch" in refused(side, event(3)).message


def test_an_epoch_nobody_announced_is_refused() -> None:
    side = attached(progress={OLD: 3})
    assert "did not announce" in refused(side, event(4, OLD)).message


def unreadable(kind: str, seq: int, content: dict[str, Any], epoch: str = LIVE) -> bytes:
    return json.dumps({"type": kind, "epoch": epoch, "seq": seq, kind: content}).encode()


def test_an_event_of_another_version_costs_itself_alone() -> None:
    side = attached()
    incoming, answer = side.receive(unreadable("event", 1, {"event": "from_the_future"}))
    assert answer is None
    (replaced,) = incoming
    assert isinstance(replaced, Replaced)
    assert isinstance(replaced.frame, EventFrame)
    assert isinstance(replaced.frame.event, HistoryGap)
    assert (replaced.frame.event.first, replaced.frame.event.last) == (1, 1)
    assert "from_the_future" in replaced.frame.event.reason
    assert decode_from_client(replaced.raw) == replaced.frame
    assert len(side.receive(event(2))[0]) == 1


def test_an_unreadable_observation_still_ends_its_action() -> None:
    side = attached()
    content = {"observation": "from_the_future", "action_id": "a1"}
    (replaced,) = side.receive(unreadable("observation", 1, content))[0]
    assert isinstance(replaced, Replaced)
    assert isinstance(replaced.frame, ObservationFrame)
    observation = replaced.frame.observation
    assert isinstance(observation, ErrorObservation)
    assert (observation.action_id, observation.code) == ("a1", "malformed_frame")
    assert decode_from_client(replaced.raw) == replaced.frame


def test_unreadable_events_have_to_be_in_order_as_well() -> None:
    side = attached((LIVE, 1, 2), progress={LIVE: 1})
    assert side.receive(unreadable("event", 1, {"event": "x"}))[0] == []
    assert "is missing" in refused(side, unreadable("event", 3, {"event": "x"})).message
    assert "did not announce" in refused(attached(), unreadable("event", 1, {}, OLD)).message


def test_before_the_welcome_an_unreadable_event_is_garbage() -> None:
    assert isinstance(refused(challenged(), unreadable("event", 1, {})), MalformedFrame)


FRAMES = [
    encode(challenge()),
    encode(welcome((LIVE, 1, 2))),
    encode(welcome((LIVE, 1, 0), (OLD, 3, 5))),
    encode(REJECTED),
    error("fenced"),
    *(event(seq, epoch) for seq in (1, 2, 3) for epoch in (LIVE, OLD)),
    encode_numbered(LIVE, 1, DoneObservation(action_id="a")),
    unreadable("event", 2, {}),
]


@given(st.lists(st.sampled_from(FRAMES) | st.binary(max_size=30), max_size=14))
def test_no_order_of_frames_makes_a_gap_or_a_duplicate(texts: list[bytes]) -> None:
    side = fresh({OLD: 1})
    last: dict[str, int] = {OLD: 1}
    for text in texts:
        try:
            incoming, answer = side.receive(text)
        except ProtocolError:
            assert side.failed
            continue
        assert answer is None or not side.welcome
        for item in incoming:
            if isinstance(item, Gap):
                last[item.epoch] = item.stored
            frame = item.frame if isinstance(item, Replaced) else item
            if isinstance(frame, EventFrame | ObservationFrame):
                assert frame.seq == last.get(frame.epoch, 0) + 1
                last[frame.epoch] = frame.seq
