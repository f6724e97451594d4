"""Numbering, journalling and handing on: nothing takes a number that was not written."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client import backlog as backlog_module
from tether_runtime_client import recorder as module
from tether_runtime_client.backlog import UNACKNOWLEDGED_LIMIT, Backlog, Omissions
from tether_runtime_client.journal import Position
from tether_runtime_client.protocol.actions import CmdRunAction, ExecAction
from tether_runtime_client.protocol.errors import DiskFull
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    BackgroundOutput,
    ClientStarted,
    CmdOutputDelta,
    CommandEnded,
    Event,
    ExecOutputDelta,
    HistoryGap,
    OpaqueEvent,
    OutputOmitted,
    PluginEventsOmitted,
    SessionWarning,
    TransferReady,
)
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    StoredEvent,
    decode_from_client,
    digest,
)
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.observations import (
    CmdOutputObservation,
    DoneObservation,
    ErrorObservation,
    Observation,
)
from tether_runtime_client.recorder import Recorder

from .full_disk import fill, small_disk

RUN = CmdRunAction(command="true")
STARTED = ClientStarted(version="0", pid=1, shell="", shell_reason="")


class Follower:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lazy: list[bool] = []
        self.was_set_back = 0

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        self.frames.append(frame)
        self.lazy.append(lazy)

    def on_set_back(self) -> None:
        self.was_set_back += 1

    @property
    def events(self) -> list[Event]:
        return [event_of(frame) for frame in self.frames]


def event_of(frame: bytes) -> Event:
    read = decode_from_client(frame)
    if isinstance(read, ObservationFrame):
        return read.observation
    assert isinstance(read, EventFrame)
    return read.event


def numbers(frames: list[bytes]) -> list[tuple[str, int]]:
    found = []
    for frame in frames:
        read = decode_from_client(frame)
        assert isinstance(read, EventFrame | ObservationFrame)
        found.append((read.epoch, read.seq))
    return found


def replay(recorder: Recorder, have: dict[str, int] | None = None) -> list[bytes]:
    """All a fresh connection would get."""
    position, found = recorder.journal.start(), []
    while True:
        frames, position = recorder.journal.read(position, 1 << 20, have or {})
        if not frames:
            return found
        found += frames


def delta(action_id: str, offset: int = 0, length: int = 10) -> CmdOutputDelta:
    content = "x" * length
    return CmdOutputDelta(
        action_id=action_id, content=content, session="s", offset=offset, length=length
    )


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "journal")
    yield made
    made.journal.close()


@pytest.fixture
def follower(recorder: Recorder) -> Follower:
    made = Follower()
    recorder.follow(made)
    return made


# --- the straight path -------------------------------------------------------------------------


def test_events_are_numbered_stamped_journalled_and_handed_on(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.start(STARTED)
    assert recorder.accept("a", RUN) == "new"
    recorder.emit(delta("a"))
    recorder.finish("a", DoneObservation())
    kinds = [type(event) for event in follower.events]
    assert kinds == [ClientStarted, ActionAccepted, CmdOutputDelta, DoneObservation]
    assert numbers(follower.frames) == [(recorder.epoch, seq) for seq in range(1, 5)]
    assert all(event.time > 1e9 for event in follower.events)
    assert follower.events[-1].action_id == "a"
    assert replay(recorder) == follower.frames
    assert follower.lazy == [False, True, True, False]


def test_an_id_is_accepted_once(recorder: Recorder, follower: Follower) -> None:
    assert recorder.accept("a", RUN) == "new"
    assert recorder.accept("a", RUN) == "running"
    recorder.finish("a", DoneObservation())
    assert recorder.accept("a", RUN) == "ended"
    assert len(follower.frames) == 2
    recorder.acknowledge(recorder.epoch, 2)
    assert recorder.accept("a", RUN) == "new", "a server asks again only for what it has not"


def test_an_acknowledgement_of_what_was_never_told_is_ignored(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.accept("a", RUN)
    recorder.finish("a", DoneObservation())
    recorder.acknowledge(recorder.epoch, 1000)
    recorder.acknowledge("f" * 16, 1)
    assert recorder.accept("a", RUN) == "ended"
    assert "an acknowledgement of event 1000" in caplog.text


def test_ranges_tell_what_can_be_replayed(recorder: Recorder) -> None:
    (span,) = recorder.ranges()
    assert (span.first, span.last) == (1, 0)
    recorder.emit(delta("a"))
    recorder.emit(delta("a"))
    recorder.acknowledge(recorder.epoch, 1)
    (span,) = recorder.ranges()
    assert (span.epoch, span.first, span.last) == (recorder.epoch, 2, 2)


def test_followers_come_and_go(recorder: Recorder, follower: Follower) -> None:
    recorder.unfollow(follower)
    recorder.unfollow(follower)
    recorder.emit(delta("a"))
    assert follower.frames == []


def test_a_follower_may_leave_while_it_is_told(recorder: Recorder) -> None:
    class Leaver(Follower):
        def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
            super().on_frame(frame, before, lazy=lazy)
            recorder.unfollow(self)

    first, second = Leaver(), Follower()
    recorder.follow(first)
    recorder.follow(second)
    recorder.emit(delta("a"))
    recorder.emit(delta("a"))
    assert (len(first.frames), len(second.frames)) == (1, 2)


# --- the next life -----------------------------------------------------------------------------


def test_the_next_life_tells_what_was_lost_and_runs_nothing_twice(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    first.start(STARTED)
    first.accept("ended", RUN)
    first.finish("ended", DoneObservation())
    first.accept("lost", ExecAction(command="x"))
    first.emit(
        ExecOutputDelta.model_validate(
            {"action_id": "lost", "stream": "stdout", "data": b"half", "offset": 0}
        )
    )
    first.journal.close()
    second = Recorder(tmp_path)
    follower = Follower()
    second.follow(follower)
    second.start(STARTED)
    started, lost = follower.events
    assert isinstance(started, ClientStarted)
    assert started.lost_actions == ("lost",)
    assert isinstance(lost, ErrorObservation)
    assert (lost.action_id, lost.code, lost.data) == ("lost", "action_lost", {"partial": "half"})
    assert "exec action" in lost.message
    assert second.accept("ended", RUN) == "ended"
    assert second.accept("lost", RUN) == "ended"
    assert [span.epoch for span in second.ranges()] == [first.epoch, second.epoch]
    assert len(replay(second)) == 7
    second.acknowledge(first.epoch, 4)
    assert len(second.ranges()) == 2, "not all of it is stored yet"
    second.acknowledge(first.epoch, 5)
    assert len(second.ranges()) == 1
    assert second.accept("ended", RUN) == "new"
    second.journal.close()


def test_damage_is_told_by_the_next_life(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    first.start(STARTED)
    first.journal.close()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(b"gone\n")
    second = Recorder(tmp_path)
    follower = Follower()
    second.follow(follower)
    second.start(STARTED)
    assert isinstance(follower.events[1], HistoryGap)
    assert follower.events[1].epoch == first.epoch
    second.journal.close()


# --- what waits for too long -------------------------------------------------------------------


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_module, "UNACKNOWLEDGED_LIMIT", 20_000)


@pytest.mark.usefixtures("little_patience")
def test_output_past_the_limit_is_left_out_and_said_so(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.accept("a", RUN)
    for number in range(200):
        recorder.emit(delta("a", number * 1000, 1000))
    told = [event for event in follower.events if isinstance(event, CmdOutputDelta)]
    assert 10 < len(told) < 30
    recorder.finish("a", DoneObservation())
    omitted, end = follower.events[-2:]
    assert isinstance(omitted, OutputOmitted)
    assert (omitted.action_id, omitted.from_offset) == ("a", told[-1].offset + 1000)
    assert omitted.to_offset == 200_000
    assert isinstance(end, DoneObservation)


@pytest.mark.usefixtures("little_patience")
def test_output_goes_on_after_an_acknowledgement(recorder: Recorder, follower: Follower) -> None:
    for number in range(100):
        recorder.emit(delta("a", number * 1000, 1000))
    recorder.acknowledge(recorder.epoch, recorder.last_seq)
    recorder.emit(delta("a", 100_000, 1000))
    omitted, after = follower.events[-2:]
    assert isinstance(omitted, OutputOmitted)
    assert isinstance(after, CmdOutputDelta)
    assert omitted.to_offset == after.offset


@pytest.mark.usefixtures("little_patience")
def test_each_stream_has_its_own_omission(recorder: Recorder, follower: Follower) -> None:
    data = b"x" * 1000
    for number in range(50):
        for stream in ("stdout", "stderr"):
            fields = {"action_id": "a", "stream": stream, "data": data, "offset": number * 1000}
            recorder.emit(ExecOutputDelta.model_validate(fields))
        recorder.emit(delta("b", number * 1000, 1000))
    recorder.finish("a", DoneObservation())
    omitted = [event for event in follower.events if isinstance(event, OutputOmitted)]
    assert sorted(str(event.stream) for event in omitted) == ["stderr", "stdout"]
    assert all(event.to_offset == 50_000 for event in omitted)
    recorder.emit(CommandEnded(action_id="b", session="s", status="completed", total_bytes=50_000))
    assert isinstance(follower.events[-2], OutputOmitted)
    assert follower.events[-2].stream is None


@pytest.mark.usefixtures("little_patience")
def test_events_of_plugins_are_bounded_and_counted(recorder: Recorder, follower: Follower) -> None:
    recorder.accept("a", RUN)
    for _ in range(200):
        recorder.emit(OpaqueEvent(action_id="a", kind="x.y", fields={"text": "x" * 1000}))
    told = [event for event in follower.events if isinstance(event, OpaqueEvent)]
    assert 10 < len(told) < 30
    recorder.finish("a", DoneObservation())
    omitted, end = follower.events[-2:]
    assert isinstance(omitted, PluginEventsOmitted)
    assert (omitted.plugin, omitted.count) == ("x", 200 - len(told))
    assert isinstance(end, DoneObservation)


@pytest.mark.usefixtures("little_patience")
def test_background_output_and_warnings_are_bounded_too(
    recorder: Recorder, follower: Follower
) -> None:
    for _ in range(200):
        recorder.emit(BackgroundOutput(session="s", content="x" * 1000))
        recorder.emit(SessionWarning(session="t", message="x" * 1000))
    before = len(follower.frames)
    assert before < 30
    recorder.acknowledge(recorder.epoch, recorder.last_seq)
    told = follower.events[before:]
    assert [type(event) for event in told] == [SessionWarning, SessionWarning]
    assert {event.session for event in told if isinstance(event, SessionWarning)} == {"s", "t"}
    assert all("left out" in str(event) for event in told)
    recorder.acknowledge(recorder.epoch, recorder.last_seq)
    assert len(follower.frames) == before + 2


@pytest.mark.usefixtures("little_patience")
def test_what_matters_is_told_however_much_waits(recorder: Recorder, follower: Follower) -> None:
    for number in range(200):
        recorder.emit(delta("a", number * 1000, 1000))
    recorder.emit(TransferReady(action_id="a", ticket="t", kind="file"))
    recorder.accept("b", RUN)
    kinds = [type(event) for event in follower.events[-3:]]
    assert kinds == [OutputOmitted, TransferReady, ActionAccepted]


def test_the_backlog_is_counted_in_few_entries() -> None:
    backlog = Backlog()
    for seq in range(1, 400_001):
        backlog.add(seq, 160)
    assert backlog.size == 64_000_000
    assert not backlog.is_full
    assert len(backlog._steps) < 1100
    backlog.acknowledge(200_000)
    assert 30_000_000 < backlog.size < 33_000_000
    backlog.acknowledge(400_000)
    assert backlog.size == 0
    backlog.add(1, UNACKNOWLEDGED_LIMIT + 1)
    assert backlog.is_full


def test_omissions_about_nobody() -> None:
    assert Omissions().about(None) == []
    assert Omissions().about("a") == []
    assert Omissions().about_sessions() == []


# --- what cannot be sent -----------------------------------------------------------------------


def test_an_observation_too_long_for_a_frame_ends_its_action_all_the_same(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.accept("a", RUN)
    content = "\x01" * (MAX_FRAME // 6)
    recorder.finish("a", CmdOutputObservation(content=content, status="completed", cwd="/"))
    error = follower.events[-1]
    assert isinstance(error, ErrorObservation)
    assert (error.action_id, error.code) == ("a", "frame_too_large")
    assert "its observation is lost" in error.message
    assert recorder.accept("a", RUN) == "ended"
    assert numbers(follower.frames)[-1] == (recorder.epoch, 2)


def test_an_event_too_long_is_told_by_a_gap_under_its_number(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.emit(SessionWarning(session="s", message="x" * MAX_FRAME))
    recorder.emit(delta("a"))
    gap = follower.events[0]
    assert isinstance(gap, HistoryGap)
    assert (gap.epoch, gap.first, gap.last) == (recorder.epoch, 1, 1)
    assert numbers(follower.frames) == [(recorder.epoch, 1), (recorder.epoch, 2)]


def test_a_name_that_is_no_unicode_crosses(recorder: Recorder, follower: Follower) -> None:
    recorder.accept("a", RUN)
    recorder.finish("a", ErrorObservation(code="file_missing", message="no file b\udcff"))
    error = follower.events[-1]
    assert isinstance(error, ErrorObservation)
    assert error.message == "no file b�"


def test_what_cannot_be_encoded_at_all_takes_no_number_away(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.accept("a", RUN)
    broken: Any = {"observation": "done", "seq": object()}
    recorder.finish("a", DoneObservation.model_construct(**broken))
    error = follower.events[-1]
    assert isinstance(error, ErrorObservation)
    assert (error.action_id, error.code) == ("a", "internal_error")
    recorder.emit(delta("b"))
    assert [seq for _, seq in numbers(follower.frames)] == [1, 2, 3]


# --- a full disk -------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as path:
        yield path


@pytest.fixture
def full(disk: Path) -> Iterator[tuple[Recorder, Follower]]:
    """A recorder on a disk that has just become full."""
    recorder, follower = Recorder(disk / "journal"), Follower()
    recorder.follow(follower)
    recorder.start(STARTED)
    recorder.accept("running", RUN)
    fill(disk)
    while not recorder.journal.degraded:
        recorder.emit(SessionWarning(session="s", message="x" * 1000))
    yield recorder, follower
    recorder.journal.close()


def test_on_a_full_disk_the_agent_can_still_clean_up(full: tuple[Recorder, Follower]) -> None:
    recorder, follower = full
    assert recorder.accept("rm", RUN) == "new"
    recorder.emit(delta("rm", 0, 1000))
    recorder.finish("rm", CmdOutputObservation(content="x" * 1000, status="completed", cwd="/"))
    kinds = [type(event) for event in follower.events[-3:]]
    assert kinds == [ActionAccepted, OutputOmitted, CmdOutputObservation]
    assert replay(recorder) == follower.frames


def run_for_ever(recorder: Recorder) -> None:
    for count in itertools.count():
        recorder.accept(f"a{count}", RUN)
        content = "x" * 300_000
        observation = CmdOutputObservation(content=content, status="completed", cwd="/")
        recorder.finish(f"a{count}", observation)


def test_when_the_reserve_is_used_up_new_work_is_refused_and_leaves_no_trace(
    full: tuple[Recorder, Follower],
) -> None:
    recorder, follower = full
    with pytest.raises(DiskFull):
        run_for_ever(recorder)
    told = len(follower.frames)
    assert recorder.accept("running", RUN) == "running", "asking again is always answered"
    assert recorder.accept("a5", RUN) == "ended"
    with pytest.raises(DiskFull):
        recorder.accept("refused", RUN)
    assert len(follower.frames) == told
    recorder.finish("running", DoneObservation())
    assert replay(recorder) == follower.frames
    assert [seq for _, seq in numbers(follower.frames)] == list(range(1, told + 2))


def test_what_finds_no_space_at_all_waits_and_is_told_in_order(
    full: tuple[Recorder, Follower], disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, follower = full
    for number in range(20):
        content = f"{number:<1000000}"
        recorder.finish(
            f"a{number}", CmdOutputObservation(content=content, status="completed", cwd="/")
        )
    told = len(follower.frames)
    recorder.finish("running", DoneObservation())
    recorder.emit(TransferReady(action_id="x", ticket="t", kind="file"))
    assert len(follower.frames) == told, "nothing overtakes what waits"
    assert "an event waits in memory" in caplog.text
    with pytest.raises(DiskFull):
        recorder.accept("new", RUN)
    for _ in range(3):
        recorder.acknowledge(recorder.epoch, recorder.last_seq)
    later = follower.events[told:]
    assert all(isinstance(event, CmdOutputObservation) for event in later[:-2])
    assert [type(event) for event in later[-2:]] == [DoneObservation, TransferReady]
    assert [seq for _, seq in numbers(follower.frames)] == list(range(1, len(follower.frames) + 1))
    (disk / "filler").unlink()
    assert recorder.accept("new", RUN) == "new"
    assert not recorder.journal.degraded


# --- a sandbox that was set back ---------------------------------------------------------------


def set_back(recorder: Recorder, have: int, newest: StoredEvent | None = None) -> None:
    recorder.compare({recorder.epoch: have}, newest)


def test_a_server_that_has_what_it_was_told_changes_nothing(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.start(STARTED)
    recorder.emit(delta("a"))
    epoch = recorder.epoch
    for seq in (1, 2):
        newest = StoredEvent(epoch=epoch, seq=seq, sha256=digest(follower.frames[seq - 1]))
        set_back(recorder, seq, newest)
    set_back(recorder, 0)
    other = StoredEvent(epoch="f" * 16, seq=9, sha256="0" * 64)
    set_back(recorder, 2, other)
    recorder.acknowledge(epoch, 2)
    set_back(recorder, 2, StoredEvent(epoch=epoch, seq=2, sha256="0" * 64))
    assert recorder.epoch == epoch, "of what was acknowledged nothing is left to compare"


@pytest.mark.parametrize("how", ["the number", "the content"])
def test_a_set_back_sandbox_tells_everything_anew(
    recorder: Recorder, follower: Follower, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.start(STARTED)
    recorder.accept("running", RUN)
    recorder.acknowledge(recorder.epoch, 1)
    recorder.accept("ended", RUN)
    recorder.finish("ended", DoneObservation())
    former, told = recorder.epoch, list(follower.frames)
    if how == "the number":
        set_back(recorder, 9)
    else:
        set_back(recorder, 3, StoredEvent(epoch=former, seq=3, sha256="0" * 64))
    assert "set back" in caplog.text
    assert follower.was_set_back == 1
    assert recorder.epoch != former
    again = follower.frames[len(told) :]
    assert numbers(again) == [(recorder.epoch, seq) for seq in range(1, 5)]
    gap = event_of(again[0])
    assert isinstance(gap, HistoryGap)
    assert (gap.epoch, gap.first) == (former, 2)
    assert [event_of(frame) for frame in again[1:]] == [event_of(frame) for frame in told[1:]]
    assert replay(recorder) == again
    assert [span.epoch for span in recorder.ranges()] == [recorder.epoch]


def test_after_it_nothing_runs_twice_and_everything_can_be_acknowledged(
    recorder: Recorder, follower: Follower
) -> None:
    recorder.accept("running", RUN)
    recorder.accept("ended", RUN)
    recorder.finish("ended", DoneObservation())
    set_back(recorder, 9)
    assert recorder.accept("running", RUN) == "running"
    assert recorder.accept("ended", RUN) == "ended"
    recorder.finish("running", DoneObservation())
    assert isinstance(event_of(follower.frames[-1]), Observation)
    recorder.acknowledge(recorder.epoch, recorder.last_seq)
    assert recorder.accept("ended", RUN) == "new"
    recorder.journal.close()


def test_earlier_lives_are_not_touched_by_it(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    first.start(STARTED)
    first.journal.close()
    second = Recorder(tmp_path)
    second.start(STARTED)
    set_back(second, 5)
    assert [span.epoch for span in second.ranges()] == [first.epoch, second.epoch]
    assert [epoch for epoch, _ in numbers(replay(second))] == [first.epoch, *[second.epoch] * 2]
    second.journal.close()
    third = Recorder(tmp_path)
    assert [span.epoch for span in third.ranges()] == [first.epoch, second.epoch, third.epoch]
    third.journal.close()


def test_much_that_waits_is_told_anew_in_order(recorder: Recorder) -> None:
    for number in range(5000):
        recorder.emit(delta("a", number, 500))
    set_back(recorder, 9999)
    found = replay(recorder)
    assert [seq for _, seq in numbers(found)] == list(range(1, 5002))
    offsets = [e.offset for f in found if isinstance(e := event_of(f), CmdOutputDelta)]
    assert offsets == list(range(5000))
    assert recorder._backlog.size > 2_500_000


def test_logging_is_quiet_on_the_straight_path(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        recorder.start(STARTED)
        recorder.accept("a", RUN)
        recorder.finish("a", DoneObservation())
        recorder.acknowledge(recorder.epoch, 3)
    assert caplog.text == ""
    assert module.ROOM_FOR_ACTION < 4 * 1024 * 1024
