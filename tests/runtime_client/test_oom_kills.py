"""The kernel's count of what it killed for memory is found, followed and told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client import oom_kills as module
from tether_runtime_client.oom_kills import OomKills, find_counter


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return count(tmp_path / "memory.events", 3)


def count(file: Path, number: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"low 0\noom {number + 1}\noom_kill {number}\noom_group_kill 9\n")
    return file


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_S", -1.0)


@pytest.mark.usefixtures("always_fresh")
def test_what_was_killed_since_a_mark(counter: Path) -> None:
    told: list[int] = []
    kills = OomKills(counter, told.append)
    mark = kills.mark()
    assert (kills.since(mark), told) == (0, [])
    count(counter, 5)
    assert (kills.since(mark), told) == (2, [2])
    assert kills.since(kills.mark()) == 0
    count(counter, 6)
    assert kills.since(kills.mark()) == 0  # it was between two marks: told, and nobody's
    assert told == [2, 1]
    kills.close()
    kills.close()
    assert kills.since(mark) == 3


def test_a_mark_may_be_a_little_old(counter: Path) -> None:
    kills = OomKills(counter)
    count(counter, 4)
    assert kills.since(kills.mark()) == 1
    kills.close()


def test_a_later_life_hears_what_it_missed(counter: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for now, missed in ((3, 0), (3, 0), (5, 2), (5, 0), (1, 1), (1, 0)):
        count(counter, now)
        kills = OomKills(counter, kept=kept)
        assert kills.missed == missed, now
        kills.close()
    kept.write_text("no number")
    assert OomKills(None, kept=kept).missed == 0


def test_nothing_to_look_at() -> None:
    kills = OomKills(None)
    assert kills.since(kills.mark()) == 0
    kills.close()


@pytest.mark.parametrize(
    ("lines", "there", "found"),
    [
        ("0::/a/b\n", "a/b/memory.events", "a/b/memory.events"),
        ("0::/docker/x\n", "memory.events", "memory.events"),
        ("9:cpu:/c\n4:memory:/c\n0::/c\n", "memory/c/memory.oom_control", None),
        ("4:hugetlb,memory:/docker/x\n", "memory/memory.oom_control", None),
    ],
    ids=["group", "container", "version 1", "container, version 1"],
)
def test_where_the_count_is(tmp_path: Path, lines: str, there: str, found: str | None) -> None:
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "cgroup").write_text(lines)
    count(tmp_path / "groups" / there, 0)
    expected = tmp_path / "groups" / (found or there)
    assert find_counter(tmp_path / "process", tmp_path / "groups") == expected


def test_without_a_group_the_machine_counts(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    count(groups / "memory" / "memory.oom_control", 0)
    (groups / "memory" / "release_agent").touch()  # the root, which counts only its own
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "cgroup").write_text("4:memory:/\n")
    assert find_counter(tmp_path / "process", groups) == Path("/proc/vmstat")
    assert find_counter(tmp_path / "nothing", groups) == Path("/proc/vmstat")
