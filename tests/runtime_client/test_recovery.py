"""What a life leaves behind: which actions ended, which are lost, and with what output."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tether_runtime_client import recovery as module
from tether_runtime_client.journal import Journal
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    BackgroundOutput,
    ClientStarted,
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
)
from tether_runtime_client.protocol.frames import encode_numbered
from tether_runtime_client.protocol.limits import CONTENT_LIMIT, MAX_EPOCHS
from tether_runtime_client.protocol.observations import DoneObservation
from tether_runtime_client.recovery import KEEP_EMPTY, LostAction, Recovered, recover

EPOCH, NEXT = "0123456789abcdef", "fedcba9876543210"
STARTED = ClientStarted(version="0", pid=1, shell="", shell_reason="")


def accepted(action_id: str, kind: str = "run") -> ActionAccepted:
    return ActionAccepted(action_id=action_id, kind=kind)


def output(action_id: str, content: str) -> CmdOutputDelta:
    return CmdOutputDelta(action_id=action_id, content=content, session="s", offset=0, length=1)


def done(action_id: str) -> DoneObservation:
    return DoneObservation(action_id=action_id)


def life(
    folder: Path, events: list[Event], epoch: str = EPOCH, running: dict[str, str] | None = None
) -> None:
    """A client's life that told these events."""
    journal = Journal(folder, epoch)
    recover(journal)
    for event in events:
        seq = journal.end().seq
        journal.append(encode_numbered(epoch, seq, event), seq, running or {})
    journal.close()


def left_by(folder: Path) -> tuple[Recovered, Journal]:
    journal = Journal(folder, "f" * 16)
    return recover(journal), journal


def test_nothing_is_left_by_nobody(tmp_path: Path) -> None:
    found, journal = left_by(tmp_path)
    assert (found.epochs, found.lost, found.ended, found.gaps) == ({}, {}, {}, {})
    journal.close()


def test_who_ended_and_who_is_lost(tmp_path: Path) -> None:
    events = [STARTED, accepted("a"), accepted("b", "exec"), done("a"), accepted("c")]
    life(tmp_path, events)
    found, journal = left_by(tmp_path)
    assert (found.epochs[EPOCH].first, found.epochs[EPOCH].last) == (1, 5)
    assert {i: action.kind for i, action in found.lost.items()} == {"b": "exec", "c": "run"}
    assert found.ended == {"a": EPOCH}
    journal.close()


def test_what_was_told_lost_is_ended_for_the_life_after(tmp_path: Path) -> None:
    life(tmp_path, [STARTED, accepted("a")])
    life(tmp_path, [STARTED, done("a")], NEXT)
    found, journal = left_by(tmp_path)
    assert found.lost == {}
    assert found.ended == {"a": NEXT}
    assert list(found.epochs) == [EPOCH, NEXT]
    found.forget(NEXT)
    assert list(found.epochs) == [EPOCH]
    assert found.ended == {}
    found.forget("no such epoch")
    journal.close()


def test_a_segment_knows_what_ran_when_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptance may have been trimmed away long ago."""
    monkeypatch.setattr("tether_runtime_client.journal.SEGMENT_SIZE", 1)
    journal = Journal(tmp_path, EPOCH)
    for seq in range(1, 4):
        journal.append(encode_numbered(EPOCH, seq, output("a", str(seq))), seq, {"a": "run"})
    journal.trim(2, {"a": "run"})
    journal.close()
    found, journal = left_by(tmp_path)
    assert found.epochs[EPOCH].first == 3
    assert found.lost["a"].kind == "run"
    assert found.lost["a"].partial == "3"
    journal.close()


# --- partial output ----------------------------------------------------------------------------


def test_a_lost_action_has_its_output(tmp_path: Path) -> None:
    events = [
        accepted("a"),
        accepted("b"),
        output("a", "one "),
        output("b", "other"),
        output("a", "two"),
        BackgroundOutput(session="s", content="nobody's"),
    ]
    life(tmp_path, events)
    found, journal = left_by(tmp_path)
    assert (found.lost["a"].partial, found.lost["b"].partial) == ("one two", "other")
    journal.close()


def test_both_streams_of_an_exec_come_as_they_came(tmp_path: Path) -> None:
    pieces = [("stdout", b"out "), ("stderr", b"err\xff "), ("stdout", "é".encode())]
    deltas = [
        ExecOutputDelta.model_validate(
            {"action_id": "a", "stream": stream, "data": data, "offset": 0}
        )
        for stream, data in pieces
    ]
    life(tmp_path, [accepted("a", "exec"), *deltas])
    found, journal = left_by(tmp_path)
    assert found.lost["a"].partial == "out err� é"
    journal.close()


def test_partial_output_is_bounded_and_the_newest() -> None:
    action = LostAction("a", "run")
    for number in range(100):
        action.add(f"{number:<20000}")
    assert len(action.partial) == CONTENT_LIMIT
    assert action.partial.rstrip().endswith("99")
    assert sum(map(len, action._pieces)) < CONTENT_LIMIT + 20_001
    action.add("x" * (3 * CONTENT_LIMIT))
    assert action.partial == "x" * CONTENT_LIMIT


def test_much_small_output_is_recovered_in_a_moment(tmp_path: Path) -> None:
    life(tmp_path, [accepted("a"), *(output("a", "x" * 60) for _ in range(40_000))])
    start = time.process_time()
    found, journal = left_by(tmp_path)
    assert time.process_time() - start < 8
    assert len(found.lost["a"].partial) == CONTENT_LIMIT
    journal.close()


# --- damage ------------------------------------------------------------------------------------


def test_damaged_lines_are_told_once_an_epoch(tmp_path: Path) -> None:
    life(tmp_path, [STARTED, accepted("a"), done("a")])
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b"garbage\nmore\n")
    found, journal = left_by(tmp_path)
    assert list(found.gaps) == [EPOCH]
    assert "damaged" in found.gaps[EPOCH].reason
    assert found.ended == {"a": EPOCH}
    journal.close()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    life(tmp_path, [STARTED])
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(b"not a header\n")
    found, journal = left_by(tmp_path)
    assert list(found.gaps) == [EPOCH]
    assert found.epochs == {}
    journal.close()


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"event":7}',
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"type":["x"]}',
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"type":"epoch"}',
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"event":{"action_id":["a"]}}',
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"event":{"action_id":"a",'
        b'"event":"exec_output","data":"*"}}',
        b'{"type":"event","epoch":"0123456789abcdef","seq":2,"event":{"action_id":"a",'
        b'"event":["output"],"content":{}}}',
    ],
)
def test_lines_of_an_inventive_editor_stop_no_client(tmp_path: Path, text: bytes) -> None:
    life(tmp_path, [accepted("a")])
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(text + b"\n")
    found, journal = left_by(tmp_path)
    assert list(found.lost) == ["a"]
    assert found.epochs[EPOCH].last == 2
    journal.close()


def test_an_action_whose_end_was_in_a_part_that_is_gone_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_runtime_client.journal.SEGMENT_SIZE", 300)
    monkeypatch.setattr(module, "MAX_HOLE", 2)
    life(tmp_path, [accepted("a"), done("a"), *(output("b", "x" * 100) for _ in range(20))])
    files = sorted(tmp_path.glob("*.jsonl"))
    for path in files[1:6]:
        path.unlink()
    found, journal = left_by(tmp_path)
    assert list(found.lost) == ["a"]
    assert found.ended == {}
    assert found.epochs[EPOCH].first > 3
    journal.close()


# --- lives that came to nothing ----------------------------------------------------------------


def test_a_crash_loop_does_not_pile_up(tmp_path: Path) -> None:
    for number in range(40):
        life(tmp_path, [STARTED], f"{number:016x}")
    found, journal = left_by(tmp_path)
    assert list(found.epochs) == [f"{number:016x}" for number in range(40 - KEEP_EMPTY, 40)]
    (gap,) = found.gaps.values()
    assert "lives of the client were left out" in gap.reason
    assert len(list(tmp_path.glob("*.jsonl"))) == KEEP_EMPTY + 1
    journal.close()


def test_a_life_that_told_nothing_at_all_leaves_nothing(tmp_path: Path) -> None:
    life(tmp_path, [])
    found, journal = left_by(tmp_path)
    assert (found.epochs, found.gaps) == ({}, {})
    journal.close()


def test_no_more_epochs_are_kept_than_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EPOCHS", KEEP_EMPTY + 5)
    for number in range(10):
        life(tmp_path, [STARTED, accepted(f"a{number}")], f"{number:016x}")
    found, journal = left_by(tmp_path)
    assert list(found.epochs) == [f"{number:016x}" for number in range(6, 10)]
    assert "a5" in found.lost, "what the dropped life ran is lost all the same"
    assert len(found.epochs) < MAX_EPOCHS
    journal.close()
