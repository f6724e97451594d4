"""The registry of sessions: what it remembers, and what it must not take for what it remembers."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.proctree import Process, read_process
from tether_runtime_client.session_registry import (
    clear,
    members,
    register,
    registered,
    unregister,
)


@pytest.fixture
def leader() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "987"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def test_register_and_unregister(tmp_path: Path, leader: int) -> None:
    folder = str(tmp_path / "sessions")
    assert registered(folder) == {}
    register(folder, leader)
    register(folder, leader)
    found = read_process(leader)
    assert found
    assert registered(folder) == {leader: found.started}
    assert os.stat(folder).st_mode & 0o777 == 0o700
    unregister(folder, leader)
    unregister(folder, leader)
    assert registered(folder) == {}
    assert os.listdir(folder) == []


def test_clear(tmp_path: Path, leader: int) -> None:
    register(str(tmp_path), leader)
    clear(str(tmp_path))
    clear(str(tmp_path / "none"))
    assert os.listdir(tmp_path) == []


def test_process_that_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(ProcessLookupError, match="register it before collecting it"):
        register(str(tmp_path), process.pid)


def test_entries_of_another_life_do_not_count(tmp_path: Path, leader: int) -> None:
    """A folder that outlives a container or a boot holds pids that mean nothing any more."""
    register(str(tmp_path), leader)
    started, namespace, boot = (tmp_path / str(leader)).read_text().split()
    for text in (
        f"{started} {int(namespace) + 1} {boot}",
        f"{started} {namespace} another-boot",
        f"x {namespace} {boot}",
        "",
        "\udcff garbage",
    ):
        (tmp_path / str(leader)).write_bytes(text.encode(errors="surrogateescape"))
        assert registered(str(tmp_path)) == {}
    (tmp_path / "notes.new").touch()
    assert registered(str(tmp_path)) == {}


def test_members_of_a_session() -> None:
    processes = {
        pid: Process(pid, "S", 1, pid, sid, started)
        for pid, sid, started in ((5, 5, 100), (6, 5, 101), (7, 7, 500), (8, 7, 501), (9, 3, 7))
    }
    found = members({5: 100, 7: 200, 3: 1, 4: 1}, processes)
    # 7 is a later process with that pid; 3 has ended, and its session lives on in 9.
    assert sorted(process.pid for process in found) == [5, 6, 9]
