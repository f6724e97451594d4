"""Finding files, and trees that would lead a search astray."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.search import page as page_module
from tether_runtime_client.search.find import Find, Finding
from tether_runtime_client.search.usage import Counting, Usage

from ..nobody import as_nobody
from .asking import ask, wanted


def find(path: Path | str, **fields: Any) -> dict[str, Any]:
    finding = Finding(Find(**wanted("find", path, **fields)))
    finding.run()
    return finding.result()


def paths(path: Path | str, **fields: Any) -> list[str]:
    return [entry["path"] for entry in find(path, **fields)["entries"]]


def usage(path: Path | str, **fields: Any) -> dict[str, Any]:
    counting = Counting(Usage(**wanted("usage", path, **fields)))
    counting.run()
    return counting.result()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, size in (("a.py", 10), ("b.txt", 2000), ("sub/c.py", 0), ("sub/deep/d.py", 5)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
        os.utime(tmp_path / name, (size, size))
    (tmp_path / "link").symlink_to("sub")
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["a.py", "b.txt", "link", "sub", "sub/c.py", "sub/deep", "sub/deep/d.py"]),
        ({"globs": ["*.py"]}, ["a.py", "sub/c.py", "sub/deep/d.py"]),
        ({"globs": ["sub/*"]}, ["sub/c.py", "sub/deep"]),
        ({"globs": ["*.txt", "d.*"]}, ["b.txt", "sub/deep/d.py"]),
        ({"globs": ["*.py"], "exclude": ["deep"]}, ["a.py", "sub/c.py"]),
        ({"types": ["directory"]}, ["sub", "sub/deep"]),
        ({"types": ["symlink"]}, ["link"]),
        ({"min_size": 6}, ["a.py", "b.txt"]),
        ({"max_size": 5}, ["sub/c.py", "sub/deep/d.py"]),
        ({"modified_after": 5, "modified_before": 2000}, ["a.py", "sub/deep/d.py"]),
        ({"max_depth": 1}, ["a.py", "b.txt", "link", "sub"]),
        ({"min_depth": 3}, ["sub/deep/d.py"]),
        ({"offset": 2, "limit": 2}, ["link", "sub"]),
    ],
)
def test_what_is_found(tree: Path, fields: dict[str, Any], expected: list[str]) -> None:
    assert paths(tree, **fields) == expected


def test_attributes(tree: Path) -> None:
    entries = {entry["path"]: entry for entry in find(tree)["entries"]}
    assert entries["b.txt"]["size"] == 2000
    assert entries["b.txt"]["modified"] == 2000
    assert entries["link"]["target"] == "sub"


def test_pages_are_all_of_it_once(tree: Path) -> None:
    everything = paths(tree)
    for limit in (1, 3, 7, 8):
        seen: list[str] = []
        offset: int | None = 0
        while offset is not None:
            page = find(tree, offset=offset, limit=limit)
            seen += [entry["path"] for entry in page["entries"]]
            offset = page["next_offset"]
        assert seen == everything


def test_a_page_of_long_names_is_cut_at_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "MAX_BYTES", 1_000)
    for number in range(20):
        (tmp_path / f"{number:0200}").touch()
    page = find(tmp_path)
    assert 0 < len(page["entries"]) < 20
    assert page["next_offset"] == len(page["entries"])


def test_links_are_not_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    assert paths(tmp_path) == ["a", "a/up", "self"]
    (tmp_path / "way").symlink_to("a")
    assert paths(tmp_path / "way") == ["up"], "the top itself may be a link"


def test_special_files_are_found_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    assert [entry["type"] for entry in find(tmp_path)["entries"]] == ["fifo", "socket"]
    assert find("/dev", globs=["null"])["entries"][0]["type"] == "device"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n")).touch()
    answer = ask("find", tmp_path)
    assert [entry["path"] for entry in answer["result"]["entries"]] == [os.fsdecode(b"caf\xe9\n")]


def test_a_very_deep_tree(memory_path: Path) -> None:
    """Deeper than calls may nest, and than a path may be long: what cannot be named is told."""
    depth = 2_500
    here = os.open(memory_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    page = find(memory_path, min_depth=1_900, limit=10_000)
    assert len(page["entries"]) > 50
    assert len(page["unreadable"]) == 1


def test_a_hundred_thousand_files(memory_path: Path) -> None:
    for number in range(100):
        (memory_path / f"{number:02}").mkdir()
    for folder in range(100):
        first = memory_path / f"{folder:02}" / "0000"
        first.touch()
        for number in range(1, 1_000):  # names of one file are made faster than files
            os.link(first, memory_path / f"{folder:02}" / f"{number:04}")
    answer = ask("find", memory_path, globs=["9999", "0999"], timeout_s=60)
    assert len(answer["result"]["entries"]) == 100
    count = ask("usage", memory_path, timeout_s=60)["result"]
    assert (count["files"], count["directories"]) == (100, 100), "names of one file count once"


def test_nothing_is_no_folder() -> None:
    with pytest.raises(FileNotFoundError):
        find("")


def test_mounted_kernel_files_are_left_out_of_a_tree(tmp_path: Path) -> None:
    top = paths("/", max_depth=2, limit=10_000, ignore=False)
    assert "proc" in top
    assert not [path for path in top if path.startswith(("proc/", "sys/"))]
    assert "status" in paths("/proc/self", max_depth=1), "unless they are asked for"


def test_closed_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "open").touch()
    result = as_nobody(tmp_path, lambda: find(tmp_path))
    assert result["unreadable"] == ["closed"]
    assert [entry["path"] for entry in result["entries"]] == ["closed", "open"]


# --- disk usage


def test_what_a_tree_takes(tree: Path) -> None:
    found = usage(tree, depth=2)
    assert (found["size"], found["files"], found["directories"]) == (2015 + 3, 5, 2)
    entries = {entry["path"]: entry for entry in found["entries"]}
    assert set(entries) == {"sub", "sub/deep"}
    assert (entries["sub"]["files"], entries["sub"]["directories"]) == (2, 1)
    assert entries["sub"]["size"] == 5
    done = subprocess.run(["du", "-s", "-B1", str(tree)], capture_output=True, check=True)
    assert found["allocated"] == int(done.stdout.split()[0])
    assert 0 < found["disk_free"] <= found["disk_total"]


def test_usage_is_bounded_and_largest_first(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x").write_bytes(bytes(100_000 * number))
    found = usage(tmp_path, limit=2)
    assert [entry["path"] for entry in found["entries"]] == ["4", "3"]
    assert found["omitted"] == 3
    assert usage(tmp_path, depth=0)["entries"] == []
    assert usage(tmp_path, exclude=["4"])["files"] == 4


def test_sparse_files_take_what_they_take(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    found = usage(tmp_path)
    assert found["size"] == 10**12
    assert found["allocated"] < 10**6


# --- the process


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A text on which an expression takes for ever."""
    (tmp_path / "text").write_text("a" * 5_000 + "\n")
    return tmp_path


def test_time_is_up(endless: Path) -> None:
    answer = ask("grep", endless, timeout_s=1, pattern="(a+)+$x")
    assert answer["timed_out"]
    assert answer["result"]["matches"] == []


@pytest.mark.parametrize(
    ("kind", "path", "fields", "error"),
    [
        ("find", "/nowhere", {}, {"errno": 2}),
        ("find", "a\0b", {}, {"errno": 2}),
        ("find", "/dev/null", {}, {"errno": 20}),
        ("usage", "/nowhere", {}, {"errno": 2}),
        ("grep", "/dev/null", {"pattern": "x"}, {"errno": 6}),
        ("grep", "/tmp", {"pattern": "*"}, {"message": "nothing to repeat at position 0"}),
    ],
)
def test_what_cannot_be_searched(
    kind: str, path: str, fields: dict[str, Any], error: dict[str, Any]
) -> None:
    assert ask(kind, path, **fields)["error"] == error
