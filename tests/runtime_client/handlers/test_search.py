"""Search actions: answers that fit, names as text, and nothing left running when cancelled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tether_runtime_client.handlers import search as search_module
from tether_runtime_client.handlers.search import SEARCHES, Searches
from tether_runtime_client.proctree import snapshot
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.tree_actions import (
    DiskUsageAction,
    FindFilesAction,
    GrepAction,
)
from tether_runtime_client.settings import ClientSettings

from .conftest import Desk, assert_fits

ENDLESS = "(a+)+$(?!)"


@pytest.fixture
def searches(settings: ClientSettings) -> Searches:
    return Searches(settings)


def helpers() -> int:
    """Searches that run as children of this process."""
    found = snapshot().values()
    return sum(1 for process in found if process.ppid == os.getpid() and process.alive)


async def test_names_that_are_no_text(desk: Desk, searches: Searches, place: Path) -> None:
    (place / os.fsdecode(b"caf\xe9")).write_text("main\n")
    (place / "link").symlink_to(os.fsdecode(b"\xff"))
    found = await searches.find(FindFilesAction(path=str(place)), desk.context())
    assert [(entry.path, entry.target) for entry in found.entries] == [
        ("caf\\xe9", None),
        ("link", "\\xff"),
    ]
    hits = await searches.grep(GrepAction(path=str(place), pattern="main"), desk.context())
    assert hits.matches[0].path == "caf\\xe9"
    for observation in (found, hits):
        assert_fits(observation)


async def test_the_largest_pages_fit_into_a_frame(
    desk: Desk, searches: Searches, place: Path
) -> None:
    for number in range(4_000):
        (place / (f"{number:04}" + "\x01" * 251)).touch()
    (place / "text").write_text(("\x01" * 2_000 + "\n") * 2_000)
    found = await searches.find(FindFilesAction(path=str(place), limit=10_000), desk.context())
    assert_fits(found)
    assert found.next_offset == len(found.entries) > 100
    action = GrepAction(path=str(place), pattern="^", before=20, after=20, limit=10_000)
    hits = await searches.grep(action, desk.context())
    assert_fits(hits)
    assert hits.next_offset == len(hits.matches) > 0
    assert_fits(await searches.disk_usage(DiskUsageAction(path=str(place)), desk.context()))


async def test_a_cancelled_search_leaves_nothing_running(
    desk: Desk, searches: Searches, place: Path
) -> None:
    (place / "text").write_text("a" * 10_000)
    before = helpers()
    action = GrepAction(path=str(place), pattern=ENDLESS, timeout_s=None)
    tasks = [
        asyncio.create_task(searches.grep(action, desk.context(f"a{n}")))
        for n in range(SEARCHES + 2)
    ]
    async with asyncio.timeout(20):
        while helpers() < before + SEARCHES:
            await asyncio.sleep(0.01)
    assert helpers() == before + SEARCHES, "the others wait for their turn"
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    assert helpers() == before


async def test_one_that_hangs_is_killed(
    desk: Desk, searches: Searches, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that does not answer: the search does not even see its time go by."""
    monkeypatch.setattr(search_module, "GRACE_S", 0.2)
    program = "import signal, time; signal.alarm(0); time.sleep(600)"
    monkeypatch.setattr(search_module, "_COMMAND", ("-c", program))
    before = helpers()
    with pytest.raises(e.FileError, match="did not end within"):
        await searches.find(FindFilesAction(path=str(place), timeout_s=0.1), desk.context())
    assert helpers() == before


@pytest.mark.parametrize(
    ("program", "match"),
    [
        ("raise SystemExit('out of luck')", "out of luck"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed"),
        ("print('[' * 100)", "without a result"),
        ("import sys\nwhile True: sys.stdout.write('x' * 100000)", "it was killed"),
    ],
)
async def test_one_that_fails(
    desk: Desk,
    searches: Searches,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    match: str,
) -> None:
    monkeypatch.setattr(search_module, "_COMMAND", ("-c", program))
    with pytest.raises(e.FileError, match=match):
        await searches.find(FindFilesAction(path=str(place)), desk.context())


async def test_the_images_python_settings_do_no_harm(
    desk: Desk, searches: Searches, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").touch()
    for name in ("PYTHONHOME", "PYTHONPATH", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/nowhere")
    found = await searches.find(FindFilesAction(path=str(place)), desk.context())
    assert [entry.path for entry in found.entries] == ["file"]
