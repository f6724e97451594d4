"""Transfers whose connection is cut: they go on at the byte where they were, and end whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tether_runtime_client.protocol.limits import BULK_WINDOW
from tether_server import ActionLost, ClientStarted, EventStreamRuntime, TransferReady

from .conftest import MakeRuntime
from .cutting import Cutter, Way, cuttable, cutter_of

__all__ = ["cuttable"]
pytestmark = pytest.mark.usefixtures("cuttable")

MIB = 1024 * 1024
SIZE = 24 * MIB


def cut_at(cutter: Cutter, *places: int) -> Callable[[int, int | None], None]:
    """Cuts each time that so many bytes have crossed."""
    left = list(places)

    def progress(done: int, total: int | None) -> None:
        if left and done >= left[0]:
            left.pop(0)
            cutter.cut()

    return progress


async def home_of(runtime: EventStreamRuntime) -> str:
    return (await runtime.exec("mktemp -d")).stdout.decode().strip()


def tickets(runtime: EventStreamRuntime) -> int:
    return sum(isinstance(event, TransferReady) for event in runtime.events.since(0))


async def test_a_file_goes_on_at_its_offset(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(data)
    async with make_runtime() as runtime:
        cutter, home = cutter_of(runtime), await home_of(runtime)
        for way in ("out", "in"):
            before, given = dict(cutter.crossed), tickets(runtime)
            progress = cut_at(cutter, 5 * MIB, 12 * MIB, SIZE)
            if way == "out":
                seen = await runtime.upload(tmp_path / "file", f"{home}/up", progress=progress)
            else:
                seen = await runtime.download(f"{home}/up", tmp_path / "down", progress=progress)
            assert seen.bytes == SIZE
            crossed = cutter.crossed[way] - before[way]
            assert SIZE < crossed < SIZE + 5 * MIB + BULK_WINDOW, "it did not begin again"
            assert tickets(runtime) - given >= 3
        assert (tmp_path / "down").read_bytes() == data
        assert cutter.cuts == 6


async def test_a_tree_goes_on_though_it_changes(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    """What was sent is not packed again: it may be another by now."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in "abcdefgh":
        (tree / name).write_bytes(os.urandom(2 * MIB))
    contents = {path.name: path.read_bytes() for path in tree.iterdir()}
    async with make_runtime() as runtime:
        cutter, home = cutter_of(runtime), await home_of(runtime)
        cut = cut_at(cutter, 10 * MIB)

        def progress(done: int, total: int | None) -> None:
            if done > 5 * MIB:
                (tree / "a").unlink(missing_ok=True)
            cut(done, total)

        await runtime.upload(tree, f"{home}/tree", progress=progress)
        await runtime.download(f"{home}/tree", tmp_path / "back", progress=cut_at(cutter, MIB))
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == contents
    assert cutter.cuts == 2


async def test_between_two_sandboxes(state_dir: Path, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(data)
    one, other = (EventStreamRuntime(None, backend="local") for _ in range(2))
    async with one, other:
        here, there = await home_of(one), await home_of(other)
        await one.upload(tmp_path / "file", f"{here}/file")
        told: list[int] = []
        cuts = [cut_at(cutter_of(one), 5 * MIB, SIZE), cut_at(cutter_of(other), 12 * MIB)]

        def progress(done: int, total: int | None) -> None:
            told.append(done)
            for cut in cuts:
                cut(done, total)

        await one.copy_to(f"{here}/file", other, f"{there}/file", progress=progress)
        await other.download(f"{there}/file", tmp_path / "back")
        assert told == sorted(told)
        assert (cutter_of(one).cuts, cutter_of(other).cuts) == (2, 1)
    assert (tmp_path / "back").read_bytes() == data


async def test_a_sparse_file_stays_sparse(state_dir: Path, tmp_path: Path) -> None:
    size = 200 * MIB
    with (tmp_path / "sparse").open("wb") as file:
        for offset in (0, 90 * MIB, 150 * MIB):
            file.seek(offset)
            file.write(os.urandom(MIB))
        file.truncate(size)
    async with EventStreamRuntime(None, backend="local") as runtime:
        cutter, home = cutter_of(runtime), await home_of(runtime)
        progress = cut_at(cutter, 50 * MIB, 120 * MIB)
        up = await runtime.upload(tmp_path / "sparse", f"{home}/up", progress=progress)
        down = await runtime.download(
            f"{home}/up", tmp_path / "down", progress=cut_at(cutter, 95 * MIB)
        )
        assert (up.bytes, up.crc32) == (down.bytes, down.crc32) == (size, up.crc32)
        assert sum(cutter.crossed.values()) < 30 * MIB
    assert (tmp_path / "down").stat().st_blocks * 512 < 10 * MIB


async def test_long_output_of_an_exec_is_whole(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        cutter = cutter_of(runtime)
        cutter.cut_after("in", 6 * MIB)
        seen = await runtime.exec(["head", "-c", str(20 * MIB), "/dev/zero"])
        assert (len(seen.stdout), seen.exit_code, cutter.cuts) == (20 * MIB, 0, 1)
        assert cutter.crossed["in"] < 20 * MIB + BULK_WINDOW + MIB


@pytest.mark.parametrize("way", ["out", "in"])
async def test_at_any_byte(way: Way, state_dir: Path, tmp_path: Path) -> None:
    """Cut within what a small transfer says beside its bytes: before, at its end, and after."""
    data = os.urandom(3000)
    (tmp_path / "file").write_bytes(data)
    async with EventStreamRuntime(None, backend="local") as runtime:
        cutter = cutter_of(runtime)
        for number in range(0, 4200, 211):
            up, down = tmp_path / f"up{number}", tmp_path / f"down{number}"
            cutter.cut_after(way, number + 1)
            async with asyncio.timeout(20):
                await runtime.upload(tmp_path / "file", str(up))
                await runtime.download(str(up), down)
            assert up.read_bytes() == down.read_bytes() == data
        assert cutter.cuts > 14


@pytest.mark.parametrize("kind", ["file", "tree"])
async def test_a_client_that_dies_leaves_nothing_half_there(
    state_dir: Path, tmp_path: Path, kind: str
) -> None:
    """The next one removes it; what has the name of such a file and is none stays."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(bytes(4 * SIZE))
    source = tmp_path / "tree" if kind == "tree" else tmp_path / "tree" / "big"
    async with EventStreamRuntime(None, backend="local") as runtime:
        home = await home_of(runtime)
        other = f"{home}/.tether-0123456789abcdef.part"
        await runtime.exec(["touch", other])
        [started] = [e for e in runtime.events.since(0) if isinstance(e, ClientStarted)]
        killing: list[asyncio.Task[object]] = []

        def progress(done: int, total: int | None) -> None:
            if not killing and done > 5 * MIB:
                kill = runtime.exec(["sh", "-c", f"ls -A {home}; kill -9 {started.pid}"])
                killing.append(asyncio.ensure_future(kill))

        with pytest.raises(ActionLost):
            await runtime.upload(source, f"{home}/up", progress=progress)
        await asyncio.gather(*killing, return_exceptions=True)
        async with asyncio.timeout(20):
            while (left := (await runtime.exec(["ls", "-A", home])).stdout.decode().split()) != [
                Path(other).name
            ]:
                assert len(left) == 2, left
