"""The journal: frames on disk and back, trimmed, torn, damaged, and on a disk that is full."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client import journal as module
from tether_runtime_client import segment as segment_module
from tether_runtime_client.journal import MEMORY_LIMIT, RESERVE_SIZE, Journal, Trimmed
from tether_runtime_client.protocol.errors import DiskFull
from tether_runtime_client.protocol.events import ActionAccepted, HistoryGap
from tether_runtime_client.protocol.frames import (
    EventFrame,
    decode_from_client,
    encode_numbered,
)
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.recovery import recover
from tether_runtime_client.segment import Segment, number_of, read_header, renumber, repaired

from .full_disk import fill, small_disk

EPOCH, NEXT = "0123456789abcdef", "fedcba9876543210"


def frame(seq: int, size: int = 0, epoch: str = EPOCH) -> bytes:
    return encode_numbered(epoch, seq, ActionAccepted(kind="x" * size))


def write(journal: Journal, count: int, size: int = 0) -> list[bytes]:
    """Append frames behind what is there; returns them."""
    first = journal.end().seq
    frames = [frame(seq, size, journal.epoch) for seq in range(first, first + count)]
    for seq, line in enumerate(frames, first):
        journal.append(line, seq, {"running": "run"})
    return frames


def everything(
    journal: Journal, have: dict[str, int] | None = None, limit: int = 1000
) -> list[bytes]:
    """All frames from the start, as a replay reads them."""
    position, found = journal.start(), []
    while True:
        frames, position = journal.read(position, limit, have or {})
        if not frames:
            return found
        found += frames


def reopened(folder: Path, epoch: str = NEXT) -> Journal:
    """As the next life finds it."""
    journal = Journal(folder, epoch)
    recover(journal)
    return journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    made = Journal(folder, EPOCH)
    yield made
    made.close()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_SIZE", 2000)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


# --- writing and reading -----------------------------------------------------------------------


def test_an_empty_journal(journal: Journal, folder: Path) -> None:
    assert everything(journal) == []
    assert journal.end().seq == 1
    assert not journal.degraded
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    journal.close()
    journal.close()


@pytest.mark.parametrize("limit", [1, 100, 10_000])
def test_what_is_written_is_read(journal: Journal, limit: int) -> None:
    frames = write(journal, 50)
    assert everything(journal, limit=limit) == frames


def test_reading_goes_on_where_writing_goes_on(journal: Journal) -> None:
    first = write(journal, 3)
    frames, position = journal.read(journal.start(), 10_000, {})
    assert frames == first
    assert journal.read(position, 10_000, {}) == ([], position)
    more = write(journal, 2)
    assert journal.read(position, 10_000, {})[0] == more


def test_a_frame_longer_than_the_batch_is_read_whole(journal: Journal) -> None:
    frames = [*write(journal, 1), *write(journal, 1, 3_000_000), *write(journal, 1)]
    assert everything(journal, limit=1000) == frames


@pytest.mark.usefixtures("small_segments")
def test_segments_follow_each_other(journal: Journal, folder: Path) -> None:
    frames = write(journal, 100)
    assert len(segments(folder)) > 5
    assert everything(journal, limit=300) == frames
    lines = segments(folder)[1].read_bytes().splitlines()
    head = json.loads(lines[0])
    assert head["epoch"] == EPOCH
    assert head["running"] == {"running": "run"}
    assert number_of(lines[1], EPOCH) == head["first"]


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("have", [0, 1, 42, 99, 100, 1000])
def test_what_a_server_has_is_left_out(journal: Journal, have: int) -> None:
    frames = write(journal, 100)
    assert everything(journal, {EPOCH: have}) == frames[have:]


@pytest.mark.parametrize("limit", [1, 1000, 100_000])
@pytest.mark.parametrize("small", [False, True])
def test_what_a_server_has_is_hardly_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, limit: int, small: bool
) -> None:
    if small:
        monkeypatch.setattr(module, "SEGMENT_SIZE", 200_000)
    frames = write(journal, 10_000)
    read: list[int] = []
    whole = Segment.read

    def counted(segment: Segment, offset: int, limit: int) -> tuple[list[bytes], int]:
        lines, end = whole(segment, offset, limit)
        read.append(end - offset)
        return lines, end

    monkeypatch.setattr(Segment, "read", counted)
    for have in (0, 1, 4999, 5000, 9990, 9999, 10_000):
        read.clear()
        assert everything(journal, {EPOCH: have}, limit) == frames[have:]
        assert sum(read) < sum(map(len, frames[have:])) + (10_000 - have) + 100_000, have


def test_a_position_is_the_place_behind_the_last_frame(journal: Journal) -> None:
    write(journal, 3)
    position = journal.end()
    assert position.seq == 4
    more = write(journal, 1)
    assert journal.read(position, 1000, {})[0] == more


def test_files_may_be_unlinked_under_the_running_client(journal: Journal, folder: Path) -> None:
    frames = write(journal, 10)
    for path in segments(folder):
        path.unlink()
    assert everything(journal) == frames


# --- trimming ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_segments")
def test_what_is_acknowledged_goes_segment_by_segment(journal: Journal, folder: Path) -> None:
    frames = write(journal, 100)
    before = len(segments(folder))
    journal.trim(50, {})
    assert 1 < len(segments(folder)) < before
    kept = everything(journal, {EPOCH: 50})
    assert kept == frames[50:]
    journal.trim(100, {})
    assert len(segments(folder)) == 1, "the one that is written to stays"
    assert everything(journal, {EPOCH: 100}) == []
    assert everything(journal, {EPOCH: 100}) + write(journal, 1) == everything(
        journal, {EPOCH: 100}
    )


@pytest.mark.usefixtures("small_segments")
def test_a_reader_that_fell_behind_is_told_and_not_led_on(journal: Journal) -> None:
    write(journal, 100)
    _, behind = journal.read(journal.start(), 300, {})
    journal.trim(100, {})
    with pytest.raises(Trimmed):
        journal.read(behind, 300, {})


@pytest.mark.usefixtures("small_segments")
def test_a_reader_at_the_end_of_a_trimmed_segment_goes_on(journal: Journal) -> None:
    frames = write(journal, 100)
    position, found = journal.start(), []
    while len(found) < 60:
        got, position = journal.read(position, 10_000, {})
        found += got
    journal.trim(len(found), {})
    assert journal.read(position, 10, {})[0][0] == frames[len(found)]


@pytest.mark.usefixtures("small_segments")
def test_a_reader_that_has_it_elsewhere_passes_over_what_is_gone(journal: Journal) -> None:
    frames = write(journal, 100)
    start = journal.start()
    journal.trim(70, {})
    got, _ = journal.read(start, 10_000, {EPOCH: 75})
    assert got[0] == frames[75]


# --- another life ------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_segments")
def test_the_next_life_replays_the_last_and_its_own(folder: Path) -> None:
    first = Journal(folder, EPOCH)
    old = write(first, 40)
    first.close()
    second = reopened(folder)
    new = write(second, 40)
    assert everything(second) == old + new
    assert everything(second, {EPOCH: 39}) == old[39:] + new
    assert everything(second, {NEXT: 40}) == old
    assert everything(second, {EPOCH: 40, NEXT: 40}) == []
    second.drop_epoch(EPOCH)
    assert everything(second) == new
    assert all(NEXT in path.name for path in segments(folder))
    second.close()


def test_lives_are_ordered_by_number_not_by_name(folder: Path) -> None:
    """Epochs are random, and there may be more than nine lives."""
    expected = []
    for life in range(12):
        journal = reopened(folder, f"{(7 * life) % 12:016x}")
        expected += write(journal, 1)
        journal.close()
    last = reopened(folder)
    assert everything(last) == expected
    last.close()


def test_a_reader_in_an_epoch_that_is_dropped_is_told(folder: Path) -> None:
    first = Journal(folder, EPOCH)
    write(first, 40)
    first.close()
    second = reopened(folder)
    write(second, 1)
    _, position = second.read(second.start(), 300, {})
    second.drop_epoch(EPOCH)
    with pytest.raises(Trimmed):
        second.read(position, 300, {})
    second.close()


def test_an_epoch_in_the_middle_that_goes_is_missed_only_by_who_waited_for_it(
    folder: Path,
) -> None:
    first = Journal(folder, "1" * 16)
    oldest = write(first, 3)
    first.close()
    second = reopened(folder, "2" * 16)
    write(second, 3)
    second.close()
    third = reopened(folder)
    newest = write(third, 3)
    _, waiting = third.read(third.start(), 10, {})
    third.drop_epoch("2" * 16)
    assert everything(third) == oldest + newest
    with pytest.raises(Trimmed):
        third.read(waiting, 10_000, {})
    third.close()


# --- torn and damaged files --------------------------------------------------------------------


def last_life(folder: Path, count: int = 10) -> tuple[Path, list[bytes]]:
    """The file of a life that has ended, and its frames."""
    journal = Journal(folder, EPOCH)
    frames = write(journal, count)
    journal.close()
    return segments(folder)[-1], frames


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_last_line_was_never_sent(folder: Path, cut: int) -> None:
    path, frames = last_life(folder)
    os.truncate(path, path.stat().st_size - cut)
    again = Journal(folder, NEXT)
    assert not recover(again).gaps
    assert everything(again) == frames[:9]
    again.close()


@pytest.mark.parametrize("what", ["torn", "empty", "a pipe", "a folder", "a link", "a dead link"])
def test_a_file_without_a_header_goes_and_is_told_of(folder: Path, what: str) -> None:
    path, _ = last_life(folder)
    path.unlink()
    if what == "torn":
        path.write_bytes(b'{"epoch":"0123')
    elif what == "empty":
        path.touch()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/etc/passwd" if what == "a link" else "nowhere")
    again = Journal(folder, NEXT)
    assert everything(again) == []
    assert again.damaged == [EPOCH]
    assert len(segments(folder)) == (2 if what == "a folder" else 1)
    again.close()


def test_space_set_aside_behind_the_last_line_is_not_read(folder: Path) -> None:
    path, frames = last_life(folder)
    os.truncate(path, path.stat().st_size + 3_000_000)
    again = Journal(folder, NEXT)
    assert not recover(again).gaps
    assert everything(again) == frames
    again.close()


def told_gaps(frames: list[bytes]) -> list[int]:
    """The numbers in whose place a gap is told."""
    found = []
    for text in frames:
        read = decode_from_client(text)
        assert isinstance(read, EventFrame)
        if isinstance(read.event, HistoryGap):
            assert (read.event.first, read.event.last) == (read.seq, read.seq)
            found.append(read.seq)
    return found


def damaged(line: bytes) -> dict[str, list[bytes]]:
    """Ways to spoil the line of frame 4."""
    return {
        "garbage": [b"garbage"],
        "binary": [bytes(range(11, 256))],
        "cut JSON": [line[:-5]],
        "another epoch": [line.replace(b"0123", b"abcd")],
        "a wrong number": [line.replace(b'"seq":4', b'"seq":1')],
        "removed": [],
        "split": [line[:30], line[30:]],
        "nonsense around": [b"{}", b"x", b"[]", b""],
        "an odd type": [line.replace(b'"event":{', b'"type":["x"],"event":{')[:-2]],
    }


@pytest.mark.parametrize("damage", damaged(b""))
def test_one_damaged_line_costs_one_event(folder: Path, damage: str) -> None:
    path, frames = last_life(folder)
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"\n".join([*lines[:4], *damaged(lines[4])[damage], *lines[5:], b""]))
    again = reopened(folder)
    found = everything(again)
    assert [number_of(text, EPOCH) for text in found] == list(range(1, 11))
    assert told_gaps(found) == [4]
    assert [text for text in found if text in frames] == frames[:3] + frames[4:]
    again.close()


def test_numbers_of_an_inventive_editor_make_no_endless_replay(folder: Path) -> None:
    path, frames = last_life(folder)
    with path.open("ab") as file:
        file.write(frame(2**50) + b"\n" + frame(15_000_000) + b"\n")
    again = reopened(folder)
    assert everything(again) == frames
    again.close()


def test_a_damaged_header_is_told_and_the_file_goes(folder: Path) -> None:
    path, _ = last_life(folder)
    path.write_bytes(b"[1]\n" + path.read_bytes())
    again = Journal(folder, NEXT)
    assert again.damaged == [EPOCH]
    assert everything(again) == []
    again.close()


@pytest.mark.usefixtures("small_segments")
def test_a_segment_that_is_missing_in_between(folder: Path) -> None:
    journal = Journal(folder, EPOCH)
    write(journal, 100)
    journal.close()
    segments(folder)[2].unlink()
    again = reopened(folder)
    found = everything(again)
    assert [number_of(text, EPOCH) for text in found] == list(range(1, 101))
    assert 0 < len(told_gaps(found)) < 40
    again.close()


@pytest.mark.usefixtures("small_segments")
def test_a_hole_too_big_to_fill_drops_what_was_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_runtime_client.recovery.MAX_HOLE", 5)
    journal = Journal(folder, EPOCH)
    frames = write(journal, 100)
    journal.close()
    segments(folder)[2].unlink()
    again = Journal(folder, NEXT)
    span = recover(again).epochs[EPOCH]
    assert span.first > 20
    assert everything(again) == frames[span.first - 1 :]
    again.close()


def test_a_file_that_vanishes_while_it_is_replayed(folder: Path) -> None:
    path, _ = last_life(folder)
    again = reopened(folder)
    path.unlink()
    assert told_gaps(everything(again)) == list(range(1, 11))
    again.close()


def test_a_link_in_the_place_of_a_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    path, _ = last_life(folder)
    again = reopened(folder)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert len(told_gaps(everything(again))) == 10
    again.close()


def test_files_that_are_none_of_ours_are_left_alone(folder: Path) -> None:
    last_life(folder)
    for name in ("x.jsonl", f"a-{EPOCH}-1.jsonl", "notes.txt"):
        (folder / name).write_text("mine\n")
    again = reopened(folder)
    assert len(everything(again)) == 10
    assert (folder / "x.jsonl").read_text() == "mine\n"
    again.close()


def test_a_line_longer_than_any_frame_is_not_held_in_memory(folder: Path) -> None:
    path, frames = last_life(folder)
    with path.open("ab") as file:
        file.write(b"x" * (MAX_FRAME + 5_000_000))
    again = reopened(folder)
    assert everything(again) == frames
    again.close()


# --- segments by themselves --------------------------------------------------------------------


def test_lines_that_are_damaged_at_the_end_are_filled_up_by_the_reader() -> None:
    lines = [frame(1), frame(3), frame(3), frame(9)]
    found = list(repaired(lines, EPOCH, 1, 4))
    assert [number_of(text, EPOCH) for text in found] == [1, 2, 3]


def test_renumbering_changes_nothing_else() -> None:
    assert renumber(frame(7, 5), NEXT, 12) == frame(12, 5, NEXT)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'{"epoch":"x","first":1,"running":{}}',
        b'{"epoch":"0123456789abcdef","first":0,"running":{}}',
        b'{"epoch":"0123456789abcdef","first":"1","running":{}}',
        b'{"epoch":"0123456789abcdef","first":1,"running":[]}',
        b'{"epoch":"0123456789abcdef","first":1}',
    ],
)
def test_what_is_no_header(line: bytes) -> None:
    assert read_header(line, EPOCH) is None


def test_a_write_is_whole_or_not_at_all(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = write(journal, 1)
    real = os.pwrite
    pieces = iter([10, None, OSError(errno.ENOSPC, "full")])

    def in_pieces(descriptor: int, data: bytes, offset: int) -> int:
        what = next(pieces, None)
        if isinstance(what, OSError):
            raise what
        return real(descriptor, data[:what], offset)

    monkeypatch.setattr(segment_module.os, "pwrite", in_pieces)
    frames += write(journal, 1)
    segment = journal.end().segment
    with pytest.raises(OSError, match="full"):
        segment.write(b"half a line that is never whole\n")
    monkeypatch.undo()
    assert everything(journal) == frames
    assert everything(journal) + write(journal, 1) == everything(journal)


# --- a full disk -------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as path:
        yield path


def test_a_full_disk_costs_the_reserve_and_no_frame(disk: Path) -> None:
    journal = Journal(disk / "journal", EPOCH)
    frames = write(journal, 10)
    filler = fill(disk)
    frames += write(journal, 1000, 1000)
    assert journal.degraded
    assert journal.room < RESERVE_SIZE
    assert everything(journal) == frames
    journal.close()
    again = reopened(disk / "journal")
    assert everything(again) == frames, "all of it was on disk"
    again.close()
    filler.unlink()


def test_the_reserve_cannot_be_taken_by_others(disk: Path) -> None:
    """A program that goes on writing takes every block that becomes free for a moment."""
    journal = Journal(disk / "journal", EPOCH)
    fill(disk)
    frames = write(journal, 1)
    assert fill(disk).exists()
    frames += write(journal, 3000, 1000)
    assert journal.degraded
    assert everything(journal) == frames
    journal.close()


def test_behind_the_reserve_there_is_memory_and_then_an_error(disk: Path) -> None:
    journal = Journal(disk / "journal", EPOCH)
    fill(disk)
    frames = write(journal, 3, 1_000_000)
    frames += write(journal, 6, 1_000_000)
    assert journal.end().segment.path is None
    assert everything(journal, limit=100_000) == frames
    with pytest.raises(DiskFull):
        write(journal, 20, 1_000_000)
    kept = everything(journal, limit=100_000)
    assert len(kept) >= 10
    assert write(journal, 1)[0] == everything(journal, {EPOCH: len(kept)})[0]
    assert sum(s.size for s in journal._segments if s.path is None) <= MEMORY_LIMIT
    journal.close()


def test_it_recovers_when_there_is_space_again(disk: Path) -> None:
    journal = Journal(disk / "journal", EPOCH)
    filler = fill(disk)
    frames = write(journal, 5, 1_000_000)
    assert journal.degraded
    journal.recover_space({})
    assert journal.degraded
    filler.unlink()
    journal.recover_space({"a": "run"})
    journal.recover_space({"a": "run"})
    assert not journal.degraded
    assert journal.room == RESERVE_SIZE
    assert journal.end().segment.path is not None, "memory is left as soon as it can be"
    frames += write(journal, 5)
    assert everything(journal, limit=100_000) == frames
    journal.trim(len(frames), {})
    assert len(segments(disk / "journal")) == 1
    journal.close()


def test_acknowledgements_make_room_on_a_disk_that_stays_full(disk: Path) -> None:
    journal = Journal(disk / "journal", EPOCH)
    fill(disk)
    for _ in range(30):
        write(journal, 1, 1_000_000)
        journal.trim(journal.end().seq - 1, {})
    assert everything(journal, {EPOCH: 30}) == []
    journal.close()


def test_a_start_on_a_full_disk(disk: Path) -> None:
    """With what the last life had set aside, or else in memory: the sandbox can still be helped."""
    first = Journal(disk / "journal", EPOCH)
    old = write(first, 3)
    first.close()
    fill(disk)
    second = reopened(disk / "journal")
    assert second.degraded
    new = write(second, 3)
    assert everything(second) == old + new
    second.close()
    third = reopened(disk / "journal", "1" * 16)
    assert third.end().segment.path is None
    newest = write(third, 3)
    assert everything(third) == old + new + newest
    third.close()


@pytest.mark.usefixtures("small_segments")
def test_a_segment_grows_where_no_new_one_can_be_made(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = write(journal, 10)

    def no_more(*args: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(module.os, "open", no_more)
    frames += write(journal, 50)
    monkeypatch.undo()
    frames += write(journal, 10)
    assert everything(journal) == frames


def test_a_broken_disk_is_like_a_full_one(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = write(journal, 3)
    real, broken = os.pwrite, journal.end().segment.descriptor

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if descriptor == broken:
            raise OSError(errno.EIO, "input/output error")
        return real(descriptor, data, offset)

    monkeypatch.setattr(segment_module.os, "pwrite", pwrite)
    frames += write(journal, 3)
    assert journal.degraded
    assert everything(journal) == frames


def test_a_folder_without_space_for_a_reserve_still_works(tmp_path: Path) -> None:
    with small_disk(tmp_path / "tiny", 1) as path:
        journal = Journal(path / "journal", EPOCH)
        assert journal.degraded
        frames = write(journal, 100)
        assert everything(journal) == frames
        assert not (path / "journal" / "reserve").exists()
        journal.close()


# --- another epoch in one life -----------------------------------------------------------------


def test_a_new_epoch_begins_behind_the_old(journal: Journal, folder: Path) -> None:
    old = write(journal, 3)
    start = journal.start()
    journal.begin_epoch(NEXT, {"a": "run"})
    assert journal.end().seq == 1
    new = write(journal, 3)
    assert everything(journal) == old + new
    assert [segment.epoch for segment in journal.earlier()] == [EPOCH]
    assert journal.read(start, 10_000, {EPOCH: 1})[0] == old[1:]
    journal.drop_epoch(EPOCH)
    assert everything(journal) == new
    assert len(segments(folder)) == 1
