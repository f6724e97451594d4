"""Pauses grow, have a limit, and begin anew."""

from __future__ import annotations

from tether_server.backoff import FIRST_RETRY_S, LAST_RETRY_S, Backoff

VARY = (0.7, 1.3)


def test_each_is_about_twice_as_long_as_the_last_up_to_a_limit() -> None:
    tries = Backoff()
    wanted = FIRST_RETRY_S
    for _ in range(20):
        assert VARY[0] * wanted <= tries.next() <= VARY[1] * wanted
        wanted = min(2 * wanted, LAST_RETRY_S)
    assert wanted == LAST_RETRY_S


def test_a_limit_of_its_own() -> None:
    tries = Backoff(0.05)
    assert max(tries.next() for _ in range(10)) <= VARY[1] * 0.05


def test_it_begins_anew() -> None:
    tries = Backoff()
    assert tries.first
    for _ in range(5):
        tries.next()
    assert not tries.first
    tries.reset()
    assert tries.first
    assert tries.next() <= VARY[1] * FIRST_RETRY_S


def test_two_that_lost_the_same_do_not_come_back_at_once() -> None:
    assert len({Backoff().next() for _ in range(10)}) > 1
