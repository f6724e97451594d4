"""The secret as every life of a client finds it, whenever the one before it was killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tether_runtime_client import kept_secret as module
from tether_runtime_client.kept_secret import KeptSecret, keep_secret

Keep = Callable[[bytes], int]
NEXT = "n" * 64


@pytest.fixture
def keep() -> Iterator[Keep]:
    kept: list[int] = []

    def one(line: bytes) -> int:
        kept.append(keep_secret(line))
        return kept[-1]

    yield one
    for descriptor in kept:
        os.close(descriptor)


@pytest.mark.parametrize("secret", ["s", "s" * 64, "s" * 4000])
@pytest.mark.parametrize("rest", ["", "Y2VydA== and more"])
def test_each_life_knows_what_the_one_before_it_did(keep: Keep, secret: str, rest: str) -> None:
    descriptor = keep(f"{secret} {rest}".strip().encode())

    def life() -> KeptSecret:
        kept = KeptSecret(descriptor)
        assert kept.rest == rest
        return kept

    assert life().accepted == (secret,)
    life().finish()
    assert life().accepted == (secret,)
    life().begin("a" * 64)
    life().begin(NEXT)
    assert (life().current, life().next, life().accepted) == (secret, NEXT, (secret, NEXT))
    life().finish()
    assert life().accepted == (NEXT,)
    life().begin("m" * 64)
    life().finish()
    assert life().accepted == ("m" * 64,)


def test_it_is_changed_by_one_write(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed leaves all of a change or nothing of it."""
    descriptor = keep(b"s" * 64)
    kept, size = KeptSecret(descriptor), os.fstat(descriptor).st_size
    written: list[int] = []

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        written.append(len(data))
        return real(descriptor, data, at)

    real = os.pwrite
    monkeypatch.setattr(module.os, "pwrite", pwrite)
    kept.begin(NEXT)
    kept.finish()
    assert len(written) == 2
    assert max(written) < 4096, "less than a page"
    assert os.fstat(descriptor).st_size == size


def test_no_other_program_gets_the_descriptor(keep: Keep) -> None:
    assert not os.get_inheritable(keep(b"s"))


def test_a_lifetime_counts_from_when_it_was_agreed_on(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from when it was proven; and a new life of the client begins no new one of the secret."""
    now = 1000.0
    monkeypatch.setattr(module, "_now", lambda: now)
    descriptor = keep(b"s" * 64)

    def expired() -> bool:
        return KeptSecret(descriptor, 10.0).expired

    now = 1009.0
    assert not expired()
    KeptSecret(descriptor, 10.0).begin(NEXT)
    now = 1011.0
    assert expired()
    KeptSecret(descriptor, 10.0).finish()
    assert not expired()
    now = 1020.0
    assert expired()
    assert not KeptSecret(descriptor).expired
