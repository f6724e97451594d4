"""Holes of sparse files: found, told from zeros, and left when written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.protocol.holes import ZEROS, content, end_here, write, zeros

MIB = 1024 * 1024
PIECE = 256 * 1024


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Data, a hole, data in its middle, and a hole at the end."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(3 * MIB)
        file.write(os.urandom(300_000))
        file.truncate(10 * MIB)
    if path.stat().st_blocks * 512 >= 10 * MIB:
        pytest.skip("this file system has no holes")
    return path


def read(path: Path) -> Iterator[bytes | int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield from content(descriptor, os.fstat(descriptor), PIECE)
    finally:
        os.close(descriptor)


def test_a_file_is_bytes_and_holes(sparse: Path) -> None:
    parts = list(read(sparse))
    holes = [part for part in parts if isinstance(part, int)]
    assert len(holes) == 2
    assert sum(holes) > 9 * MIB
    whole = b"".join(part if isinstance(part, bytes) else bytes(part) for part in parts)
    assert whole == sparse.read_bytes()


def test_a_copy_has_the_same_holes(sparse: Path, tmp_path: Path) -> None:
    copy = os.open(tmp_path / "copy", os.O_WRONLY | os.O_CREAT)
    hole = False
    for part in read(sparse):
        for piece in zeros(part) if isinstance(part, int) else (part,):
            hole = write(copy, piece)
    assert hole
    end_here(copy)
    os.close(copy)
    assert (tmp_path / "copy").read_bytes() == sparse.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks <= sparse.stat().st_blocks


def test_zeros_that_are_no_hole_are_written(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert not write(descriptor, bytes(len(ZEROS)))
    assert os.fstat(descriptor).st_size == len(ZEROS)
    assert write(descriptor, memoryview(ZEROS)[:5])
    assert os.fstat(descriptor).st_size == len(ZEROS)
    end_here(descriptor)
    assert os.fstat(descriptor).st_size == len(ZEROS) + 5
    os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, MIB])
def test_small_files_and_whole_holes(tmp_path: Path, size: int) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
    parts = list(read(tmp_path / "file"))
    assert sum(part if isinstance(part, int) else len(part) for part in parts) == size
    if size >= 65_536:
        assert parts == [size]


def test_a_file_that_shrinks_ends_early(sparse: Path) -> None:
    parts = read(sparse)
    assert next(parts) == b"begin" + bytes(4091)
    os.truncate(sparse, MIB)
    assert sum(part if isinstance(part, int) else len(part) for part in parts) < 10 * MIB
