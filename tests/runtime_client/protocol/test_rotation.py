"""Both ends come to the same new secret, and nobody else does."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal, getcontext

import pytest

from tether_runtime_client.protocol import auth, rotation
from tether_runtime_client.protocol.errors import ProtocolError, Unauthorized, UnexpectedFrame
from tether_runtime_client.protocol.frames import (
    AttachFrame,
    ChallengeFrame,
    ConfirmFrame,
    ErrorFrame,
    HelloFrame,
    RotatedFrame,
    RotateFrame,
    RotatingFrame,
    decode_from_client,
    encode,
)
from tether_runtime_client.protocol.limits import PROTOCOL_VERSION
from tether_runtime_client.protocol.rotation import Half
from tether_runtime_client.protocol.sandbox_side import (
    Attach,
    BeginRotation,
    FinishRotation,
    SandboxSide,
    Send,
    Step,
)

from .known import Known

SECRET, NEXT, OURS, THEIRS = "5" * 64, "6" * 64, "c" * 32, "d" * 32


def test_the_group_is_the_documented_one() -> None:
    """RFC 7919, A.1: 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1."""
    getcontext().prec = 800
    middle = int(Decimal(1).exp() * Decimal(2**1918)) + 560316
    assert 2**2048 - 2**1984 + middle * 2**64 - 1 == rotation._PRIME


def test_both_ends_agree_and_show_it() -> None:
    ours, theirs = Half(), Half()
    here = ours.for_server(SECRET, theirs.public)
    there = theirs.for_client(SECRET, ours.public)
    assert here == there
    assert len({SECRET, here.secret, here.client_proof, here.server_proof}) == 4
    assert len(here.secret) == len(auth.new_secret())


def test_the_new_secret_is_the_documented_one() -> None:
    """Another implementation must be able to compute it."""
    ours, theirs = Half(), Half()
    shared = pow(int(theirs.public, 16), ours._private, rotation._PRIME)
    text = f"tether next secret {ours.public} {theirs.public} {shared:0512x}".encode()
    expected = hmac.digest(SECRET.encode(), text, hashlib.sha256).hex()
    assert ours.for_server(SECRET, theirs.public).secret == expected


def test_who_listens_and_knows_the_former_secret_does_not_come_to_it() -> None:
    """He sees both public halves, and has neither private one; nor has who comes between."""
    ours, theirs, between = Half(), Half(), Half()
    agreed = ours.for_server(SECRET, theirs.public).secret
    assert between.for_server(SECRET, theirs.public).secret != agreed
    assert between.for_client(SECRET, ours.public).secret != agreed
    assert ours.for_server(NEXT, theirs.public).secret != agreed


@pytest.mark.parametrize("number", [0, 1, rotation._PRIME - 1, rotation._PRIME, 16**512 - 1])
def test_halves_that_would_make_it_known_are_refused(number: int) -> None:
    with pytest.raises(Unauthorized):
        Half().for_server(SECRET, f"{number:0512x}")
    with pytest.raises(Unauthorized):
        Half().for_client(SECRET, f"{number:0512x}")


# --- the client's rules ------------------------------------------------------------------------


def greeted(known: Known) -> tuple[SandboxSide, ChallengeFrame]:
    side = SandboxSide(known, OURS)
    [answer] = side.receive(encode(HelloFrame(version=PROTOCOL_VERSION, nonce=THEIRS)))
    assert isinstance(answer, Send)
    challenge = decode_from_client(answer.text)
    assert isinstance(challenge, ChallengeFrame)
    return side, challenge


def attached(known: Known) -> SandboxSide:
    side, _ = greeted(known)
    side.receive(encode(AttachFrame(proof=auth.server_proof(known.current, THEIRS, OURS))))
    side.admit("operator")
    return side


def error_in(steps: list[Step]) -> ProtocolError:
    sent = steps[0]
    assert isinstance(sent, Send)
    assert isinstance(decode_from_client(sent.text), ErrorFrame)
    return steps[1].error  # type: ignore[union-attr]


def rotating(side: SandboxSide, half: Half) -> tuple[str, RotatingFrame]:
    begun, sent = side.receive(encode(RotateFrame(public=half.public)))
    assert isinstance(begun, BeginRotation)
    assert isinstance(sent, Send)
    answer = decode_from_client(sent.text)
    assert isinstance(answer, RotatingFrame)
    return begun.secret, answer


def test_the_straight_path() -> None:
    """It accepts the new one before it says so, and drops the former once that was proven."""
    known, half = Known(SECRET), Half()
    side = attached(known)
    secret, answer = rotating(side, half)
    known.begin(secret)
    agreed = half.for_server(SECRET, answer.public)
    assert (agreed.secret, agreed.client_proof) == (secret, answer.proof)
    finished, sent = side.receive(encode(ConfirmFrame(proof=agreed.server_proof)))
    assert finished == FinishRotation()
    assert sent == Send(encode(RotatedFrame()))


def test_while_there_are_two_it_proves_both_and_takes_either() -> None:
    known = Known(SECRET, NEXT)
    side, challenge = greeted(known)
    assert challenge.proof == auth.client_proof(SECRET, THEIRS, OURS)
    assert challenge.next_proof == auth.client_proof(NEXT, THEIRS, OURS)
    [asked] = side.receive(encode(AttachFrame(proof=auth.server_proof(SECRET, THEIRS, OURS))))
    assert isinstance(asked, Attach)
    side, _ = greeted(known)
    steps = side.receive(encode(AttachFrame(proof=auth.server_proof(NEXT, THEIRS, OURS))))
    assert [type(step) for step in steps] == [FinishRotation, Attach]


def test_of_the_one_secret_there_is_one_proof() -> None:
    assert greeted(Known(SECRET))[1].next_proof is None


def test_a_wrong_confirmation_changes_nothing() -> None:
    known = Known(SECRET)
    side = attached(known)
    known.begin(rotating(side, Half())[0])
    steps = side.receive(encode(ConfirmFrame(proof="0" * 64)))
    assert isinstance(error_in(steps), Unauthorized)


def test_who_was_overtaken_confirms_nothing() -> None:
    known, half = Known(SECRET), Half()
    side = attached(known)
    _, answer = rotating(side, half)
    known.begin(NEXT)
    proof = half.for_server(SECRET, answer.public).server_proof
    assert isinstance(error_in(side.receive(encode(ConfirmFrame(proof=proof)))), UnexpectedFrame)


def test_strangers_change_nothing() -> None:
    for frame in (RotateFrame(public=Half().public), ConfirmFrame(proof="0" * 64)):
        side, _ = greeted(Known(SECRET))
        assert isinstance(error_in(side.receive(encode(frame))), UnexpectedFrame)
    side = attached(Known(SECRET))
    steps = side.receive(encode(ConfirmFrame(proof="0" * 64)))
    assert isinstance(error_in(steps), UnexpectedFrame)
