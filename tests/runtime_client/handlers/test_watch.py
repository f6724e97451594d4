"""Watch actions: changes in bundles, bounded, to their end."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tether_runtime_client.backlog import Omissions
from tether_runtime_client.handlers.watch import MAX_CHANGES, Watches
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.events import (
    FileChange,
    FilesChanged,
    WatchOverflow,
    WatchReady,
)
from tether_runtime_client.protocol.observations import FileWatchObservation
from tether_runtime_client.protocol.tree_actions import FileWatchAction

from .conftest import Desk


def ready(desk: Desk) -> bool:
    return any(isinstance(event, WatchReady) for event in desk.events)


def told(desk: Desk) -> list[tuple[FileChange, ...]]:
    return [event.changes for event in desk.events if isinstance(event, FilesChanged)]


async def start(desk: Desk, **fields: object) -> asyncio.Task[FileWatchObservation]:
    action = FileWatchAction.model_validate(fields)
    task = asyncio.create_task(Watches().handle(action, desk.context()))
    await desk.until(lambda: ready(desk))
    return task


async def test_a_thousand_writes_are_few_changes(desk: Desk, place: Path) -> None:
    watch = await start(desk, path=str(place), timeout_s=0.5)
    with (place / "file").open("w", buffering=1) as file:
        for number in range(1_000):
            file.write(f"{number}\n")
    seen = await watch
    assert seen.ended == "timeout"
    assert 3 <= seen.total < 100
    assert seen.changes[0] == FileChange(path="file", kind="created")
    assert sum(map(len, told(desk))) == seen.total


async def test_changes_come_in_bounded_events(desk: Desk, place: Path) -> None:
    watch = await start(desk, path=str(place), limit=3 * MAX_CHANGES)
    for number in range(3 * MAX_CHANGES):
        (place / str(number)).mkdir()
    async with asyncio.timeout(20):
        seen = await watch
    assert (seen.ended, len(seen.changes)) == ("limit", MAX_CHANGES)
    assert max(map(len, told(desk))) == MAX_CHANGES


async def test_the_end_of_what_is_watched(desk: Desk, place: Path) -> None:
    watch = await start(desk, path=str(place), recursive=True)
    shutil.rmtree(place)
    async with asyncio.timeout(20):
        assert (await watch).ended == "gone"


async def test_a_cancelled_watch_tells_what_it_knew(desk: Desk, place: Path) -> None:
    watch = await start(desk, path=str(place))
    (place / "x").mkdir()
    await desk.until(lambda: told(desk))
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


async def test_its_time_counts_from_the_beginning(
    desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree may take longer to look through than the watch is to last."""
    from tether_runtime_client.watching.tree import TreeWatch

    async def without_end(_: TreeWatch) -> int:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(TreeWatch, "start", without_end)
    watch = FileWatchAction(path=str(place), timeout_s=0.05)
    assert (await Watches().handle(watch, desk.context())).ended == "timeout"
    assert not ready(desk)


async def test_what_cannot_be_watched(desk: Desk, place: Path) -> None:
    for path, error in (("/nowhere", e.FileMissing), ("a\0b", e.FileMissing)):
        with pytest.raises(error):
            await Watches().handle(FileWatchAction(path=path), desk.context())
    action = FileWatchAction(path=str(place), exclude=("{a,b}" * 40,))
    with pytest.raises(e.InvalidPattern):
        await Watches().handle(action, desk.context())


async def test_too_many_watches(desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the host's and everybody's: the kernel's answer is made up."""
    from tether_runtime_client.watching.inotify import Inotify

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Inotify, "add", full)
    with pytest.raises(e.WatchRefused, match="too many watches"):
        await Watches().handle(FileWatchAction(path=str(place)), desk.context())


def test_changes_that_were_left_out_are_an_overflow() -> None:
    omissions = Omissions()
    change = FileChange(path="x", kind="created")
    for action_id in ("a", "a", "b"):
        omissions.add(FilesChanged(action_id=action_id, changes=(change, change)))
    [event] = omissions.about("a")
    assert isinstance(event, WatchOverflow)
    assert event.reason.startswith("4 changes were left out")
    assert omissions.about("a") == []
    assert len(omissions.about("b")) == 1
