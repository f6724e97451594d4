"""Waiting for files: nothing is missed, and nothing is polled."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tether_server.watch import FolderWatch

WAIT_S = 10.0


@pytest.fixture(autouse=True)
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tether_server.watch.LOOK_AGAIN_S", ())


def while_waiting(watch: FolderWatch, change: Callable[[], object]) -> bool:
    """What `wait` returns when the change comes while it waits."""
    timer = threading.Timer(0.05, change)
    timer.start()
    try:
        return watch.wait(WAIT_S)
    finally:
        timer.join()


def test_writing_making_replacing_and_removing_are_seen(tmp_path: Path) -> None:
    with FolderWatch(tmp_path, "data") as watch:
        file = tmp_path / "data.txt"
        assert while_waiting(watch, file.touch)
        assert while_waiting(watch, lambda: file.write_text("x"))
        (tmp_path / "other").touch()
        assert while_waiting(watch, lambda: (tmp_path / "other").rename(file))
        assert while_waiting(watch, file.unlink)


def test_a_change_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    with FolderWatch(tmp_path, "a", "b") as watch:
        (tmp_path / "b").touch()
        assert watch.wait(WAIT_S)


def test_what_has_changed_is_looked_at_twice_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_server.watch.LOOK_AGAIN_S", (0.01, 0.02))
    with FolderWatch(tmp_path, "data") as watch:
        (tmp_path / "data").touch()
        assert [watch.wait(0.1) for _ in range(4)] == [True, True, True, False]


def test_other_files_do_not_count(tmp_path: Path) -> None:
    with FolderWatch(tmp_path, "data") as watch:
        (tmp_path / "other").touch()
        assert not watch.wait(0.1)


def test_a_folder_that_goes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with FolderWatch(folder, "data") as watch:
        assert not while_waiting(watch, lambda: shutil.rmtree(folder))
        assert not watch.wait(WAIT_S)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be watched"):
        FolderWatch(tmp_path / "none", "data")
