"""Many small files and very large ones: none lost, in memory that stays flat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_server import EventStreamRuntime

from .test_transfer import client_pid, forget_peak, peak_growth

MIB = 1024 * 1024
GROWTH_MIB = 60
"""What a transfer may add to the memory of either side, however much crosses."""


def many(root: Path, count: int) -> Path:
    """Small files, a hundred in each folder."""
    for number in range(count):
        folder = root / f"{number // 100:04}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number}").write_bytes(b"%d" % number * (number % 700))
    return root


def digests(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder in sorted(root.iterdir()):
        for path in sorted(folder.iterdir()):
            yield str(path.relative_to(root)), hashlib.sha256(path.read_bytes()).digest()


async def up_and_down(count: int, tmp_path: Path) -> None:
    source = many(tmp_path / "source", count)
    async with EventStreamRuntime(None, backend="local") as runtime:
        here, there = forget_peak("self"), forget_peak(client_pid(runtime))
        up = await runtime.upload(source, str(tmp_path / "there"))
        down = await runtime.download(str(tmp_path / "there"), tmp_path / "back")
        assert peak_growth("self", here) < GROWTH_MIB
        assert peak_growth(client_pid(runtime), there) < GROWTH_MIB
    assert up.files == down.files == count
    assert up.crc32 == down.crc32
    assert dict(digests(tmp_path / "back")) == dict(digests(source))


async def test_five_thousand_small_files(tmp_path: Path) -> None:
    await up_and_down(5_000, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_hundred_thousand_small_files(tmp_path: Path) -> None:
    await up_and_down(100_000, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["sparse", "whole"])
async def test_five_gigabytes_in_flat_memory(tmp_path: Path, kind: str) -> None:
    size = 5 * 1024 * MIB + 1
    with (tmp_path / "big").open("wb") as file:
        if kind == "sparse":
            file.truncate(size)
        else:
            os.posix_fallocate(file.fileno(), 0, size)
        file.seek(size - 4)
        file.write(b"end.")
    async with EventStreamRuntime(None, backend="local") as runtime:
        here, there = forget_peak("self"), forget_peak(client_pid(runtime))
        up = await runtime.upload(tmp_path / "big", str(tmp_path / "there"))
        (tmp_path / "big").unlink()
        down = await runtime.download(str(tmp_path / "there"), tmp_path / "back")
        assert peak_growth("self", here) < GROWTH_MIB
        assert peak_growth(client_pid(runtime), there) < GROWTH_MIB
    assert (up.bytes, up.crc32) == (down.bytes, down.crc32) == (size, up.crc32)
    with (tmp_path / "back").open("rb") as file:
        file.seek(size - 5)
        assert file.read() == b"\0end."
    if kind == "sparse":
        assert (tmp_path / "back").stat().st_blocks * 512 < MIB
