"""Watches: every kind of change, folders that come and go, and what the kernel loses."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tether_runtime_client.globs import Globs
from tether_runtime_client.watching import inotify
from tether_runtime_client.watching.inotify import Inotify, Listener, Raw
from tether_runtime_client.watching.tree import Change, TreeWatch

from ..kernel_files import kernel_files


class Seen:
    """What a watch told, and a way to wait for it."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.lost: list[str] = []
        self.gone = 0
        self.folders = 0
        self._news = asyncio.Event()

    def change(self, change: Change) -> None:
        self.changes.append(change)
        self._news.set()

    def lose(self, reason: str) -> None:
        self.lost.append(reason)
        self._news.set()

    def go(self) -> None:
        self.gone += 1
        self._news.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def told(self, kind: str, path: str) -> bool:
        return any((each.kind, each.path) == (kind, path) for each in self.changes)

    async def sees(self, kind: str, path: str) -> None:
        await self.until(lambda: self.told(kind, path))


def watch_of(
    path: Path,
    seen: Seen,
    *,
    recursive: bool = True,
    exclude: tuple[str, ...] = (),
    hub: Inotify | None = None,
) -> TreeWatch:
    return TreeWatch(
        hub or Inotify(),
        str(path),
        recursive=recursive,
        exclude=Globs(exclude) if exclude else None,
        on_change=seen.change,
        on_lost=seen.lose,
        on_gone=seen.go,
    )


@asynccontextmanager
async def watching(
    path: Path, *, recursive: bool = True, exclude: tuple[str, ...] = (), hub: Inotify | None = None
) -> AsyncIterator[Seen]:
    seen = Seen()
    watch = watch_of(path, seen, recursive=recursive, exclude=exclude, hub=hub)
    seen.folders = await watch.start()
    try:
        yield seen
    finally:
        watch.close()
        watch.close()


async def test_what_the_kernel_makes_up_is_not_watched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with kernel_files(tmp_path / "proc") as proc:
        async with watching(tmp_path) as seen:
            assert (seen.folders, seen.lost) == (2, [])
        async with watching(proc / "self" / "net", recursive=False) as seen:
            assert seen.folders == 1, "if asked for"


async def test_too_many_watches_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the host's and everybody's: the kernel's answer is made up."""
    for number in range(300):
        (tmp_path / f"{number:03}" / "below").mkdir(parents=True)
    add, room = Inotify.add, 4  # the top is asked for twice

    def limited(hub: Inotify, path: str, listener: Listener) -> int:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(hub, path, listener)

    monkeypatch.setattr(Inotify, "add", limited)
    async with watching(tmp_path) as seen:
        assert seen.folders == 3
        [reason] = seen.lost
        assert "too many watches" in reason
        (tmp_path / "new").mkdir()
        await seen.sees("created", "new")
        assert len(seen.lost) == 1


async def test_one_look_through_a_tree_at_a_time(tmp_path: Path) -> None:
    """However often the kernel loses something: a tree may be large."""
    (tmp_path / "folder").mkdir()
    seen = Seen()
    watch = watch_of(tmp_path, seen)
    await watch.start()
    for _ in range(20):
        watch._listen([Raw(-1, inotify.Q_OVERFLOW, 0, "")])
        await asyncio.sleep(0)
        assert len(watch._extending) <= 2, "one, and one after it"
    (tmp_path / "folder" / "new").touch()
    await seen.sees("created", "folder/new")
    assert len(seen.lost) == 20
    watch.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_what_happens_to_a_file(tmp_path: Path) -> None:
    async with watching(tmp_path) as seen:
        file = tmp_path / "file"
        file.write_text("x")
        await seen.sees("written", "file")
        file.chmod(0o600)
        await seen.sees("attributes", "file")
        file.rename(tmp_path / "other")
        await seen.sees("moved", "other")
        (tmp_path / "other").unlink()
        await seen.sees("deleted", "other")
    kinds = [each.kind for each in seen.changes]
    assert kinds[:3] == ["created", "modified", "written"]
    assert next(each for each in seen.changes if each.kind == "moved").from_path == "file"


async def test_one_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    async with watching(tmp_path, recursive=False) as seen:
        assert seen.folders == 1
        (tmp_path / "sub" / "hidden").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "hidden").touch()
        (tmp_path / "last").touch()
        await seen.sees("created", "last")
    assert not [each for each in seen.changes if "hidden" in each.path]


async def test_folders_that_are_there_and_that_come(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    async with watching(tmp_path) as seen:
        assert seen.folders == 4
        (deep / "x").touch()
        await seen.sees("created", "a/b/c/x")
        (tmp_path / "n" / "e" / "w").mkdir(parents=True)
        (tmp_path / "n" / "e" / "w" / "y").touch()
        await seen.sees("created", "n/e/w/y")
        (tmp_path / "n" / "e" / "w" / "y").write_text("later")
        await seen.sees("written", "n/e/w/y")


async def test_a_folder_is_moved_in_away_and_about(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    (outside / "come" / "deep").mkdir(parents=True)
    (tree / "stay").mkdir(parents=True)
    async with watching(tree) as seen:
        (outside / "come").rename(tree / "come")
        await seen.sees("created", "come/deep")
        (tree / "come" / "deep" / "1").touch()
        await seen.sees("created", "come/deep/1")
        (tree / "come").rename(tree / "stay" / "here")
        await seen.sees("moved", "stay/here")
        (tree / "stay" / "here" / "deep" / "2").touch()
        await seen.sees("created", "stay/here/deep/2")
        (tree / "stay" / "here").rename(outside / "gone")
        await seen.sees("deleted", "stay/here")
        (outside / "gone" / "deep" / "3").touch()
        (tree / "last").touch()
        await seen.sees("created", "last")
    assert not [each for each in seen.changes if each.path.endswith("3")]


async def test_a_folder_that_moves_before_it_is_watched(tmp_path: Path) -> None:
    async with watching(tmp_path) as seen:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x").touch()
        (tmp_path / "a").rename(tmp_path / "b")
        await seen.sees("created", "b/x")
        (tmp_path / "b" / "y").touch()
        await seen.sees("created", "b/y")


async def test_the_watched_path_goes_away(tmp_path: Path) -> None:
    for name in ("removed", "moved", "file"):
        (tmp_path / name).touch() if name == "file" else (tmp_path / name).mkdir()
        async with watching(tmp_path / name) as seen:
            if name == "moved":
                (tmp_path / name).rename(tmp_path / "elsewhere")
            elif name == "removed":
                shutil.rmtree(tmp_path / name)
            else:
                (tmp_path / name).unlink()
            await seen.until(lambda seen=seen: seen.gone)


async def test_one_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with watching(tmp_path / "file") as seen:
        (tmp_path / "file").write_text("x")
        await seen.sees("written", "")
        (tmp_path / "beside").touch()
    assert {each.path for each in seen.changes} == {""}


async def test_links_are_not_followed_but_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../other")
    (tmp_path / "tree" / "up").symlink_to("..")
    (tmp_path / "way").symlink_to("tree")
    async with watching(tmp_path / "way") as seen:
        assert seen.folders == 1
        (tmp_path / "other" / "x").touch()
        (tmp_path / "tree" / "y").touch()
        await seen.sees("created", "y")
    assert {each.path for each in seen.changes} == {"y"}


async def test_what_is_excluded_is_not_watched(tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "a").mkdir(parents=True)
    async with watching(tmp_path, exclude=("node_modules", "*.tmp")) as seen:
        assert seen.folders == 1
        (tmp_path / "node_modules" / "x").touch()
        (tmp_path / "a.tmp").touch()
        (tmp_path / "a.tmp").rename(tmp_path / "a")
        (tmp_path / "a").rename(tmp_path / "b.tmp")
        await seen.sees("deleted", "a")
    assert [(each.kind, each.path) for each in seen.changes if each.kind != "attributes"] == [
        ("created", "a"),
        ("deleted", "a"),
    ], "what comes out of the dark is created, and what goes there deleted"


async def test_names_that_are_no_text(tmp_path: Path) -> None:
    async with watching(tmp_path) as seen:
        (tmp_path / os.fsdecode(b"n\xe9\n")).touch()
        await seen.sees("created", os.fsdecode(b"n\xe9\n"))


async def test_what_the_kernel_loses_is_said(tmp_path: Path) -> None:
    """While the loop does not read, more happens than the kernel keeps; then it goes on."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("this kernel keeps too many events to overflow it quickly")
    async with watching(tmp_path) as seen:
        names = [str(tmp_path / name) for name in ("a", "b")]
        for name in names:
            Path(name).touch()
        for _ in range(limit // 2 + 10):  # two in a row that are the same are kept as one
            for name in names:
                os.utime(name)
        (tmp_path / "missed").mkdir()
        (tmp_path / "missed" / "inside").touch()
        await seen.until(lambda: seen.lost)
        assert len(seen.lost) == 1
        # The folder that nothing was said of is watched by now, or about to be.
        async with asyncio.timeout(20):
            while not seen.told("written", "missed/inside"):
                (tmp_path / "missed" / "inside").write_text("x")
                await asyncio.sleep(0.01)


async def test_many_watches_of_one_tree_are_one_instance(tmp_path: Path) -> None:
    before = descriptors()
    hub = Inotify()
    async with watching(tmp_path, hub=hub) as first, watching(tmp_path, hub=hub) as second:
        assert descriptors() == before + 1
        (tmp_path / "x").touch()
        await first.sees("created", "x")
        await second.sees("created", "x")
    async with watching(tmp_path, hub=hub) as again:
        async with watching(tmp_path, hub=hub):
            pass
        (tmp_path / "y").touch()
        await again.sees("created", "y")
    assert descriptors() == before, "nobody watches any more"


async def test_what_cannot_be_watched(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        async with watching(tmp_path / "nowhere"):
            pass
    assert descriptors() == before
