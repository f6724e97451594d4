"""Both ends prove that they know the secret; neither proof serves as another."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol import auth

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_secrets_and_nonces_are_fresh_and_of_their_form() -> None:
    secrets = {auth.new_secret() for _ in range(50)}
    nonces = {auth.new_nonce() for _ in range(50)}
    assert len(secrets) == len(nonces) == 50
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)
    assert all(re.fullmatch(r"[0-9a-f]{32}", nonce) for nonce in nonces)


def test_the_proof_is_the_documented_one() -> None:
    """Another implementation must be able to compute it."""
    import hashlib
    import hmac

    text = b"tether client aa bb"
    assert auth.client_proof("s", "aa", "bb") == hmac.digest(b"s", text, hashlib.sha256).hex()


@given(words, words, words)
def test_a_proof_serves_one_end_and_one_pair_of_nonces(secret: str, ours: str, theirs: str) -> None:
    proof = auth.client_proof(secret, ours, theirs)
    assert auth.matches(proof, auth.client_proof(secret, ours, theirs))
    assert not auth.matches(proof, auth.server_proof(secret, ours, theirs))
    assert not auth.matches(proof, auth.client_proof(secret + "x", ours, theirs))
    assert not auth.matches(proof, auth.client_proof(secret, ours + "x", theirs))
    if ours != theirs:
        assert not auth.matches(proof, auth.client_proof(secret, theirs, ours))


def test_anything_can_be_compared() -> None:
    assert not auth.matches("é" * 64, "0" * 64)
    assert not auth.matches("", "0")
    assert auth.matches("é", "é")
