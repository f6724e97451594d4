"""Listing: every type, sorted, paged, and never stopped by what is awkward."""

import os
import socket
from pathlib import Path

import pytest

from tether_runtime_client.files import (
    Entry,
    FileMissing,
    NotADirectory,
    list_directory,
)
from tether_runtime_client.files import listing as module

from ..kernel_files import kernel_files
from ..nobody import as_nobody


def test_types_and_attributes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("no/such")
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "file", ns=(0, 1_234_567_891))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        entries = {entry.path: entry for entry in list_directory(str(tmp_path)).entries}
    assert entries["file"] == Entry("file", "file", 5, 0o640, 1_234_567_891)
    assert [entry.type for entry in entries.values()] == [
        "file",
        "directory",
        "symlink",
        "fifo",
        "socket",
    ]
    assert entries["link"].target == "no/such"
    assert entries["folder"].mode == 0o755
    null = next(entry for entry in list_directory("/dev").entries if entry.path == "null")
    assert null.type == "device"


def test_order_is_that_of_bytes(tmp_path: Path) -> None:
    names = ["b", "B", "a", "ä", "a.b", "a b", "\udcff", "\n"]
    for name in names:
        (tmp_path / name).touch()
    found = [entry.path for entry in list_directory(str(tmp_path)).entries]
    assert found == sorted(names, key=os.fsencode)


def test_recursive(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x").touch()
    (tmp_path / "a.b").touch()
    (tmp_path / "loop").symlink_to(".")
    found = [entry.path for entry in list_directory(str(tmp_path), recursive=True).entries]
    assert found == ["a", "a/deep", "a/deep/x", "a.b", "loop"]


def test_what_the_kernel_makes_up_is_not_entered(tmp_path: Path) -> None:
    with kernel_files(tmp_path / "proc") as proc:
        found = list_directory(str(tmp_path), recursive=True).entries
        assert [(entry.path, entry.type) for entry in found] == [("proc", "directory")]
        assert list_directory(str(proc / "self" / "net"), recursive=True).entries, "if asked for"


@pytest.mark.parametrize("recursive", [False, True])
def test_pages(tmp_path: Path, recursive: bool) -> None:
    for number in range(25):
        (tmp_path / f"{number:02}").touch()
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = list_directory(str(tmp_path), recursive=recursive, offset=offset, limit=10)
        assert len(page.entries) in (10, 5)
        found += [entry.path for entry in page.entries]
        offset = page.next_offset
    assert found == [f"{number:02}" for number in range(25)]
    assert list_directory(str(tmp_path), limit=25).next_offset is None
    beyond = list_directory(str(tmp_path), offset=99)
    assert (beyond.entries, beyond.next_offset) == ((), None)


def test_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    for name in "abcde":
        (tmp_path / name).touch()
    assert list_directory(str(tmp_path), limit=1_000_000).next_offset == 3


def test_very_deep_tree(memory_path: Path) -> None:
    path = str(memory_path)
    for _ in range(1200):
        path += "/d"
        os.mkdir(path)
    assert len(list_directory(str(memory_path), recursive=True, limit=5000).entries) == 1200


def test_what_vanishes_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    fsencode = os.fsencode

    def vanishing(name: str) -> bytes:
        """Called for the names' order: once they are known, and before each is looked at."""
        (tmp_path / "b").unlink(missing_ok=True)
        return fsencode(name)

    monkeypatch.setattr(os, "fsencode", vanishing)
    assert [entry.path for entry in list_directory(str(tmp_path)).entries] == ["a", "c"]


def test_closed_directories_are_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open" / "x").touch()

    def listed() -> tuple[list[str], tuple[str, ...]]:
        page = list_directory(str(tmp_path), recursive=True)
        return [entry.path for entry in page.entries], page.unreadable

    assert as_nobody(tmp_path, listed) == [["closed", "open", "open/x"], ["closed"]]


def test_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectory):
        list_directory(str(tmp_path / "file"))
    with pytest.raises(FileMissing):
        list_directory(str(tmp_path / "none"))
    (tmp_path / "link").symlink_to(".")
    assert list_directory(str(tmp_path / "link")).next_offset is None
