"""What is kept of a stream: in memory until it was taken, or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.execs import Filed, Held, Kept
from tether_runtime_client.protocol.errors import DiskFull
from tether_runtime_client.protocol.limits import EXEC_INLINE_LIMIT, EXEC_WINDOW, MAX_SEQUENCE

from ..full_disk import small_disk


def filled(kept: Kept, *pieces: bytes) -> Kept:
    for piece in pieces:
        kept.write(memoryview(piece))
    return kept


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50)), st.data())
def test_any_part_that_was_not_taken_can_be_read_again(
    pieces: list[bytes], data: st.DataObject
) -> None:
    held = Held()
    written = b""
    taken = 0
    for piece in pieces:
        filled(held, piece)
        written += piece
        taken = data.draw(st.integers(taken, len(written)))
        held.release(taken)
        assert (held.total, held.begins, held.held) == (len(written), taken, len(written) - taken)
        offset = data.draw(st.integers(taken, len(written)))
        limit = data.draw(st.integers(0, 60))
        assert held.read(offset, limit) == written[offset : offset + limit]
    assert held.first == written


def test_the_process_waits_from_a_window_on() -> None:
    held = filled(Held(), b"x" * (EXEC_WINDOW - 1))
    assert not held.is_full
    filled(held, b"y")
    assert held.is_full
    held.release(1)
    assert not held.is_full


def test_what_is_not_wanted_takes_no_memory() -> None:
    held = filled(Held(), b"x" * 1000)
    held.release(MAX_SEQUENCE)
    for _ in range(100):
        filled(held, b"y" * 100_000)
    assert (held.held, held.is_full, len(held._waiting)) == (0, False, 0)
    assert held.total == 10_001_000
    assert len(held.first) == EXEC_INLINE_LIMIT


def test_the_next_caller_has_wishes_of_its_own() -> None:
    held = filled(Held(), b"one")
    held.release(MAX_SEQUENCE)
    filled(held, b"two")
    assert held.begin(0) == 6
    filled(held, b"three")
    assert (held.read(6, 10), held.held) == (b"three", 5)
    assert held.begin(MAX_SEQUENCE) == MAX_SEQUENCE


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100_000), max_size=8), st.data())
def test_a_file_has_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("kept") / "output" / "a1.stdout"
    filed = filled(Filed(path), *pieces)
    whole = b"".join(pieces)
    if data.draw(st.booleans()):
        filed.finish()
    filed.release(len(whole))
    offset = data.draw(st.integers(0, len(whole) + 5))
    seen = filed.read(offset, 70_000)
    assert whole[offset:].startswith(seen)
    assert bool(seen) == (offset < len(whole))
    assert (filed.begins, filed.is_full, filed.held) == (0, False, 0)
    assert filed.path == (str(path) if whole else None)
    filed.finish()
    assert filed.held == len(filed.first) == 0


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        filed = filled(Filed(disk / "a1.stdout"), *[b"x" * 100_000] * 20)
        assert (filed.path, filed.total) == (None, 2_000_000)
        assert filed.read(0, 10) == b"x" * 10
        with pytest.raises(DiskFull, match="2,000,000 bytes of a1"):
            filed.read(EXEC_INLINE_LIMIT, 10)
        assert list(disk.iterdir()) == []


def test_a_file_that_somebody_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a1.stdout"
    filed = filled(Filed(path), b"x" * (EXEC_INLINE_LIMIT + 10))
    path.write_bytes(b"")
    with pytest.raises(DiskFull, match="was cut short"):
        filed.read(EXEC_INLINE_LIMIT, 10)
    filed.finish()
    path.unlink()
    with pytest.raises(DiskFull, match="cannot be read"):
        filed.read(EXEC_INLINE_LIMIT, 10)
