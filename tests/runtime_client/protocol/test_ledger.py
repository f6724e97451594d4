"""Numbers without gaps, ids that are known as long as they have to be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol.frames import EpochRange
from tether_runtime_client.protocol.ledger import Ledger

EPOCH = "0123456789abcdef"


def run(ledger: Ledger, action_id: str) -> int:
    """Accept and end an action; returns the number of its end."""
    ledger.record()
    ledger.begin(action_id)
    seq = ledger.record()
    ledger.end(action_id, seq)
    return seq


def test_a_number_is_taken_when_its_event_is_written() -> None:
    ledger = Ledger(EPOCH)
    assert (ledger.last_seq, ledger.next_seq) == (0, 1)
    assert ledger.next_seq == 1
    assert ledger.record() == 1
    assert (ledger.last_seq, ledger.next_seq) == (1, 2)


def test_the_life_of_an_id() -> None:
    ledger = Ledger(EPOCH)
    assert ledger.verdict("a") == "new"
    assert ledger.verdict("a") == "new", "asking changes nothing"
    ledger.record()
    ledger.begin("a")
    assert ledger.verdict("a") == "running"
    assert ledger.running == ("a",)
    ledger.end("a", ledger.record())
    assert ledger.verdict("a") == "ended"
    assert ledger.running == ()
    assert ledger.ended == {"a": 2}
    assert ledger.acknowledge(EPOCH, 1)
    assert ledger.verdict("a") == "ended", "its end is not stored yet"
    assert ledger.acknowledge(EPOCH, 2)
    assert ledger.verdict("a") == "new"


def test_running_ids_are_listed_in_the_order_of_their_acceptance() -> None:
    ledger = Ledger(EPOCH)
    for action_id in ("c", "a", "b"):
        ledger.record()
        ledger.begin(action_id)
    assert ledger.running == ("c", "a", "b")


def test_an_end_of_an_action_of_a_former_life_is_known() -> None:
    ledger = Ledger(EPOCH)
    ledger.end("lost", ledger.record())
    assert ledger.verdict("lost") == "ended"


def test_an_end_that_is_told_twice_is_acknowledged_with_the_later_one() -> None:
    ledger = Ledger(EPOCH)
    ledger.end("a", ledger.record())
    ledger.end("b", ledger.record())
    ledger.end("a", ledger.record())
    assert ledger.acknowledge(EPOCH, 2)
    assert (ledger.verdict("a"), ledger.verdict("b")) == ("ended", "new")


def test_acknowledgements_that_make_no_sense_change_nothing() -> None:
    ledger = Ledger(EPOCH)
    run(ledger, "a")
    assert not ledger.acknowledge("ffffffffffffffff", 1)
    assert not ledger.acknowledge(EPOCH, 3)
    assert ledger.acknowledge(EPOCH, 2)
    assert ledger.acknowledge(EPOCH, 1), "an older one is no error"
    assert ledger.acknowledged == 2


def test_what_is_outstanding() -> None:
    ledger = Ledger(EPOCH)
    assert ledger.outstanding() == EpochRange(epoch=EPOCH, first=1, last=0)
    run(ledger, "a")
    assert ledger.outstanding() == EpochRange(epoch=EPOCH, first=1, last=2)
    ledger.acknowledge(EPOCH, 2)
    assert ledger.outstanding() == EpochRange(epoch=EPOCH, first=3, last=2)


def test_a_successor_numbers_anew_and_runs_on() -> None:
    ledger = Ledger(EPOCH)
    run(ledger, "ended")
    ledger.record()
    ledger.begin("running")
    heir = ledger.successor("ffffffffffffffff")
    assert (heir.epoch, heir.last_seq, heir.acknowledged) == ("ffffffffffffffff", 0, 0)
    assert heir.running == ("running",)
    assert heir.ended == {}
    heir.end("running", heir.record())
    assert ledger.running == ("running",), "the two share nothing"


@given(st.lists(st.sampled_from("abc") | st.integers(0, 40), max_size=40))
def test_an_id_is_forgotten_exactly_when_its_end_is_acknowledged(
    steps: list[str | int],
) -> None:
    ledger = Ledger(EPOCH)
    ends: dict[str, int] = {}
    for step in steps:
        if isinstance(step, str):
            ends[step] = run(ledger, step)
        else:
            ledger.acknowledge(EPOCH, step)
        for action_id, seq in ends.items():
            known = "ended" if seq > ledger.acknowledged else "new"
            assert ledger.verdict(action_id) == known
