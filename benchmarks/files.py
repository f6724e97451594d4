"""One large file and many small ones, into a place and out of it.

Everything lies below one folder, which containers see under the same name: whoever copied, what
came is compared with what was there, and then removed. The folder is in memory where there is room,
so that no disk is measured.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tether_server import EventStreamRuntime

from .peers.base import Copier, Copy
from .peers.copying import TAR, open_copiers, tar_pipe
from .plan import Plan
from .report import Aim, Report, Row
from .side import RATIO, side_rows, tether
from .subjects import runtimes
from .turns import take_turns

AHEAD = Aim(1, at="least")
MEMORY = Path("/dev/shm")
ROOM = 3_000_000_000
_BLOCK = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is copied, and how long Tether may take as a multiple of the floor."""

    label: str
    source: Path
    rounds: int
    block: int
    aim: Aim


async def measure(plan: Plan) -> Report:
    """For each load, up and down, a row for the floor, every backend and every peer."""
    rows: list[Row] = []
    with _folder() as folder:
        async with (
            runtimes(plan, (f"{folder}:{folder}",)) as started,
            open_copiers(plan, folder) as peers,
        ):
            copiers = [*map(_tether, started, started.values()), *peers]
            for load in (_large(folder, plan), _small(folder, plan)):
                rows += await _compare(load, folder / "came" / load.source.name, copiers)
    return Report("files", "files and trees", tuple(rows), floor=RATIO, bars=False)


async def _compare(load: Load, target: Path, copiers: list[Copier]) -> list[Row]:
    places = {one.name: one.place for one in copiers if not one.name.startswith("Tether")}
    rows = []
    for way in ("up", "down"):
        copies: dict[str, Copy] = {TAR: tar_pipe}
        copies |= {one.name: one.up if way == "up" else one.down for one in copiers}
        samples = await take_turns(
            {name: partial(copy, load.source, target) for name, copy in copies.items()},
            rounds=load.rounds,
            block=load.block,
            blocks={one.name: 1 for one in copiers if one.slow},
            after=partial(look_and_clear, load.source, target),
        )
        rows += side_rows(
            f"{load.label}, {way}",
            samples,
            places,
            floor=TAR,
            aim=load.aim,
            aims=dict.fromkeys(places, AHEAD),
            unit="s",
        )
    return rows


def _tether(backend: str, runtime: EventStreamRuntime) -> Copier:
    async def up(source: Path, target: Path) -> None:
        await runtime.upload(source, str(target))

    async def down(source: Path, target: Path) -> None:
        await runtime.download(str(source), target)

    return Copier(tether(backend), up, down)


def _large(folder: Path, plan: Plan) -> Load:
    blocks = plan.count(500, 2)
    source = folder / "large"
    block = os.urandom(_BLOCK)
    with source.open("wb") as file:
        for number in range(blocks):
            file.write(number.to_bytes(8) + block[8:])
    return Load(f"one file of {blocks} MB", source, plan.count(3, 1), plan.count(2, 1), Aim(1.3))


def _small(folder: Path, plan: Plan) -> Load:
    """A hundred to a folder."""
    files = plan.count(2000, 40)
    source = folder / "small"
    for number in range(files):
        inner = source / f"{number // 100:02}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"file-{number:04}.txt").write_bytes(os.urandom(4096))
    return Load(f"{files:,} files of 4 KB", source, plan.count(4, 1), plan.count(3, 1), Aim(2))


@contextmanager
def _folder() -> Iterator[Path]:
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    place = MEMORY if has_room else None
    with tempfile.TemporaryDirectory(prefix="tether-bench-", dir=place) as folder:
        (Path(folder) / "came").mkdir()
        yield Path(folder)


def look_and_clear(source: Path, target: Path) -> None:
    """Raise unless every name and every byte came; leave nothing of it."""
    before, after = _names(source), _names(target)
    if before != after:
        raise RuntimeError(f"{len(after)} names came instead of {len(before)}, or others")
    filecmp.clear_cache()
    for name in before:
        there, here = source / name, target / name
        if there.is_file() and not filecmp.cmp(there, here, shallow=False):
            raise RuntimeError(f"{name or source.name} is not what was sent")
    shutil.rmtree(target) if target.is_dir() else target.unlink()


def _names(top: Path) -> Mapping[str, bool]:
    found = [top, *(top.rglob("*") if top.is_dir() else ())]
    return {str(path.relative_to(top)): path.is_dir() for path in found}
