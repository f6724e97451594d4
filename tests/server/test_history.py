"""The history file: each event once, one writer, any reader, and a disk that may be full."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.protocol.actions import CmdRunAction
from tether_runtime_client.protocol.errors import Fenced
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    ActionSubmitted,
    CmdOutputDelta,
    Connected,
    ConnectionLost,
    Event,
    HistoryGap,
)
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    decode_from_client,
    digest,
    encode_numbered,
)
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.observations import DoneObservation, ErrorObservation
from tether_server import history as module
from tether_server.action_log import ActionLog
from tether_server.history import History

from ..runtime_client.full_disk import fill, small_disk

EPOCH, OTHER = "0123456789abcdef", "fedcba9876543210"
RUN = CmdRunAction(command="true")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box" / "history.sqlite3"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    made = History(path)
    made.claim()
    yield made
    made.close()


def store(history: History, seq: int, event: Event, epoch: str = EPOCH) -> Event:
    """As a link hands it on."""
    raw = encode_numbered(epoch, seq, event)
    frame = decode_from_client(raw)
    assert isinstance(frame, EventFrame | ObservationFrame)
    return history.store_frame(frame, raw)


def accepted(action_id: str = "a") -> ActionAccepted:
    return ActionAccepted(action_id=action_id, kind="run")


def done(action_id: str = "a") -> DoneObservation:
    return DoneObservation(action_id=action_id)


def output(size: int) -> CmdOutputDelta:
    return CmdOutputDelta(content="x" * size, session="s", offset=0, length=size)


def numbers(history: History) -> list[int]:
    return [event.seq for event in history.since(0)]


# --- storing and reading -----------------------------------------------------------------------


def test_events_are_numbered_over_all_they_come_from(history: History) -> None:
    history.store_event(ConnectionLost(reason="x"))
    store(history, 1, accepted())
    history.store_action("a", to_json(RUN))
    store(history, 2, done())
    events = list(history.since(0))
    assert [type(e) for e in events] == [
        ConnectionLost,
        ActionAccepted,
        ActionSubmitted,
        DoneObservation,
    ]
    assert numbers(history) == [1, 2, 3, 4]
    assert history.last_seq == 4
    assert events[0].time > 1e9
    assert [e.seq for e in history.since(2)] == [3, 4]
    assert [e.seq for e in history.since(0, "a")] == [2, 3, 4]
    assert list(history.since(4)) == []


def test_what_is_stored_is_returned_with_its_number(history: History) -> None:
    assert store(history, 1, done()) == done().model_copy(update={"seq": 1})
    assert history.store_event(ConnectionLost(reason="x")).seq == 2


def test_a_hostile_number_inside_an_event_means_nothing(history: History) -> None:
    store(history, 1, done().model_copy(update={"seq": 10**15}))
    assert numbers(history) == [1]


def test_readers_see_what_is_not_committed_yet(history: History, path: Path) -> None:
    store(history, 1, accepted())
    assert numbers(history) == [1]
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT COUNT(*) FROM events").fetchone() == (1,)
    other.close()


def test_it_is_there_again_after_a_restart(history: History, path: Path) -> None:
    history.store_action("a", to_json(RUN))
    store(history, 1, accepted())
    store(history, 2, done())
    store(history, 1, done("b"), OTHER)
    history.close()
    again = History(path)
    assert [again.last_seq, again.progress] == [4, {EPOCH: 2, OTHER: 1}]
    assert again.submitted("a")
    assert not again.submitted("x")
    assert again.final("a") == done().model_copy(update={"seq": 3})
    assert again.final("x") is None
    assert again.unfinished() == {}
    again.close()


def test_it_can_be_read_after_it_was_closed_and_by_others(history: History, path: Path) -> None:
    store(history, 1, accepted())
    history.close()
    history.close()
    assert numbers(history) == [1]
    assert history.submitted("a")
    path.chmod(0o400)
    assert numbers(history) == [1]


def test_a_reader_of_a_closed_history_makes_no_file(history: History, path: Path) -> None:
    history.close()
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(sqlite3.OperationalError):
        list(history.since(0))
    assert not path.exists()


def test_pages_are_bounded_by_number_and_by_size(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 601):
        store(history, seq, output(10))
    assert len(history.page(0)) == module._PAGE
    monkeypatch.setattr(module, "_PAGE_BYTES", 50_000)
    for seq in range(601, 621):
        store(history, seq, output(20_000))
    assert 1 < len(history.page(600)) < 5
    monkeypatch.setattr(module, "_PAGE_BYTES", 10)
    assert len(history.page(600)) == 1, "one event at least, however long"
    assert numbers(history) == list(range(1, 621))


def test_threads_read_while_it_is_written(history: History) -> None:
    """Each reader sees every event once and in order, whatever it overlaps with."""
    stop = threading.Event()
    problems: list[str] = []

    def read() -> None:
        seq = 0
        while not stop.is_set() or seq < history.last_seq:
            for event in history.since(seq):
                if event.seq != seq + 1:
                    problems.append(f"{event.seq} after {seq}")
                seq = event.seq

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for seq in range(1, 1501):
        store(history, seq, accepted())
        if seq % 50 == 0:
            history.commit()
    stop.set()
    for reader in readers:
        reader.join(30)
    assert problems == []


# --- what is unfinished ------------------------------------------------------------------------


def test_actions_without_an_end_are_taken_up_in_order(history: History, path: Path) -> None:
    for action_id in ("c", "a", "b"):
        history.store_action(action_id, to_json(CmdRunAction(command=action_id)))
    store(history, 1, accepted("a"))
    store(history, 2, done("a"))
    store(history, 3, accepted("b"))
    assert {i: a.model_dump()["command"] for i, a in history.unfinished().items()} == {
        "c": "c",
        "b": "b",
    }
    assert list(history.unfinished()) == ["c", "b"]
    assert [history.accepted(i) for i in ("a", "b", "c")] == [True, True, False]


def test_of_two_ends_the_first_counts(history: History) -> None:
    store(history, 1, done())
    store(history, 2, ErrorObservation(action_id="a", code="x", message="hostile"))
    assert history.final("a") == done().model_copy(update={"seq": 1})


def test_the_newest_event_is_told_by_its_bytes(history: History, path: Path) -> None:
    assert history.newest() is None
    raw = encode_numbered(EPOCH, 7, done())
    store(history, 6, accepted())
    store(history, 7, done())
    history.store_event(ConnectionLost(reason="x"))
    newest = history.newest()
    assert newest is not None
    assert (newest.epoch, newest.seq, newest.sha256) == (EPOCH, 7, digest(raw))
    history.close()
    again = History(path)
    assert again.newest() == newest
    again.close()


def test_a_gap_is_passed_over(history: History, path: Path) -> None:
    history.skip(EPOCH, 10)
    store(history, 11, accepted())
    history.skip(OTHER, 5)
    history.commit()
    again = History(path)
    assert again.progress == {EPOCH: 11, OTHER: 5}
    again.close()


def test_the_newest_life_stays_the_last_whichever_is_heard_of_later(
    history: History, path: Path
) -> None:
    """One that lived and died before a server came is told of when the next one has begun."""
    history.know([OTHER, EPOCH])
    history.commit()
    store(history, 1, accepted(), OTHER)
    history.commit()
    again = History(path)
    assert [list(history.progress), list(again.progress)] == [[OTHER, EPOCH]] * 2
    assert again.progress == {OTHER: 1, EPOCH: 0}
    again.close()


def test_old_lives_are_forgotten_and_the_newest_come_last(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EPOCHS_KEPT", 10)
    for number in range(30):
        store(history, 1, accepted(), f"{number:016x}")
        history.commit()
    again = History(path)
    assert list(again.progress) == [f"{number:016x}" for number in range(20, 30)]
    again.claim()
    count = again._database.execute("SELECT COUNT(*) FROM progress").fetchone()
    assert count == (10,)
    assert len(list(again.since(0))) == 30
    again.close()


# --- one writer --------------------------------------------------------------------------------


def test_a_second_server_that_only_looks_disturbs_nobody(history: History, path: Path) -> None:
    store(history, 1, accepted())
    other = History(path)
    other.store_event(ConnectionLost(reason="never claimed"))
    with pytest.raises(Fenced):
        other.commit()
    other.close()
    store(history, 2, done())
    history.commit()
    assert numbers(history) == [1, 2]


def test_after_a_takeover_the_former_writer_writes_no_more(history: History, path: Path) -> None:
    store(history, 1, accepted())
    history.commit()
    store(history, 2, output(1))
    other = History(path)
    other.claim()
    assert other.progress == {EPOCH: 1}, "what was not committed was not acknowledged"
    store(other, 2, output(2))
    store(other, 3, done())
    other.commit()
    with pytest.raises(Fenced, match="took the sandbox over"):
        history.commit()
    history.store_event(ConnectionLost(reason="of the fenced one"))
    assert numbers(other) == [1, 2, 3]
    other.close()


def test_a_fenced_server_goes_on_reading(history: History, path: Path) -> None:
    store(history, 1, accepted())
    other = History(path)
    other.claim()
    store(history, 2, accepted())
    assert numbers(history) == []
    store(other, 1, accepted())
    other.commit()
    assert numbers(history) == [1]
    other.close()
    history.close()
    assert numbers(history) == [1]


def test_a_stopped_writer_holds_no_lock(history: History, path: Path) -> None:
    """A takeover comes when a server hangs; it must not have to wait for it."""
    store(history, 1, accepted())
    start = time.monotonic()
    other = History(path)
    other.claim()
    store(other, 1, accepted())
    other.commit()
    assert time.monotonic() - start < 3
    other.close()


def test_many_open_a_new_history_at_once(path: Path) -> None:
    problems: list[Exception] = []

    def open_it() -> None:
        try:
            History(path).close()
        except sqlite3.Error as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []


# --- actions that a dead server left -----------------------------------------------------------


def test_an_action_is_safe_before_it_is_committed(history: History, path: Path) -> None:
    """The server is killed right after it sent the action."""
    history.store_action("sent", to_json(RUN))
    again = History(path)
    again.claim()
    assert list(again.unfinished()) == ["sent"]
    assert not list(path.parent.glob("actions-*"))
    again.close()
    once_more = History(path)
    once_more.claim()
    assert len(list(once_more.since(0, "sent"))) == 1
    once_more.close()


def test_an_action_that_was_committed_is_not_taken_up_twice(history: History, path: Path) -> None:
    history.store_action("a", to_json(RUN))
    (log,) = path.parent.glob("actions-*")
    saved = log.read_bytes()
    history.commit()
    assert log.read_bytes() == b""
    log.write_bytes(saved)
    again = History(path)
    again.claim()
    assert len(list(again.since(0, "a"))) == 1
    again.close()


def test_a_server_that_closes_while_another_claims(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not write any more, and removes its log: the other one has read it by then."""
    first, second = History(path), History(path)
    first.claim()
    first.store_action("last", to_json(RUN))
    closing = threading.Thread(target=first.close)
    read = module.left_behind

    def read_late(folder: Path) -> list[bytes]:
        closing.start()
        closing.join(0.2)
        return read(folder)

    monkeypatch.setattr(module, "left_behind", read_late)
    second.claim()
    closing.join(30)
    assert list(second.unfinished()) == ["last"]
    assert not list(path.parent.glob("actions-*"))
    second.close()


def test_a_log_that_its_server_has_just_removed(history: History, path: Path) -> None:
    history.store_action("a", to_json(RUN))
    (path.parent / "actions-gone.jsonl").symlink_to("nowhere")
    again = History(path)
    again.claim()
    assert list(again.unfinished()) == ["a"]
    again.close()


@pytest.mark.parametrize("junk", [b"garbage\n", b'{"event":"from_the_future"}\n', b"torn"])
def test_a_spoiled_action_log_stops_no_server(history: History, path: Path, junk: bytes) -> None:
    history.store_action("a", to_json(RUN))
    (log,) = path.parent.glob("actions-*")
    log.write_bytes(junk[:7] + b"\n" + log.read_bytes() + junk)
    again = History(path)
    again.claim()
    assert list(again.unfinished()) == ["a"]
    again.close()


def test_half_a_line_never_stays_in_an_action_log(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        log = ActionLog(disk, "w")
        log.append(b"first")
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left"):
            log.append(b"x" * 100_000)
        filler.unlink()
        log.append(b"second")
        assert (disk / "actions-w.jsonl").read_bytes() == b"first\nsecond\n"
        log.clear()
        log.clear()
        log.append(b"third")
        assert (disk / "actions-w.jsonl").read_bytes() == b"third\n"
        log.close()
        log.close()
        assert not (disk / "actions-w.jsonl").exists()


# --- a full disk -------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        history = History(disk / "history.sqlite3")
        history.claim()
        for seq in range(1, 11):
            store(history, seq, accepted())
        history.commit()
        filler = fill(disk)
        for seq in range(11, 61):
            store(history, seq, output(20_000))
        for _ in range(3):
            with pytest.raises(sqlite3.Error):
                history.commit()
        assert numbers(history) == list(range(1, 11)), "readers see what could be written"
        filler.unlink()
        history.commit()
        assert numbers(history) == list(range(1, 61))
        assert history.progress == {EPOCH: 60}
        fill(disk)
        store(history, 61, output(1_000_000))
        history.close()
        assert "without its last events" in caplog.text
        assert len(numbers(history)) == 60


def test_a_locked_file_loses_nothing(history: History, path: Path) -> None:
    """A backup tool may hold the lock for longer than anybody waits."""
    store(history, 1, accepted())
    history._database.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        history.commit()
    other.execute("ROLLBACK")
    other.close()
    history.commit()
    assert numbers(history) == [1]


# --- what cannot be read -----------------------------------------------------------------------


def test_an_event_another_version_wrote_is_a_gap_and_no_end(history: History, path: Path) -> None:
    for seq in range(1, 4):
        store(history, seq, accepted())
    history.store_event(Connected(transport="unix", reason="", epoch=EPOCH))
    history.commit()
    future = b'{"type":"event","epoch":"%b","seq":2,"event":{"event":"new"}}' % EPOCH.encode()
    welcome = b'{"type":"error","code":"x","message":""}'
    for seq, body in ((2, future), (3, welcome), (4, b'{"event":"new"}')):
        history._database.execute("UPDATE events SET body = ? WHERE seq = ?", (body, seq))
    events = list(history.since(0))
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [isinstance(event, HistoryGap) for event in events] == [False, True, True, True]
    assert all("cannot read" in e.reason for e in events if isinstance(e, HistoryGap))
