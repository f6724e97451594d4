"""Histories that former versions made, and those that a later one will make of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tether_runtime_client.protocol.errors import StateUnusable
from tether_runtime_client.protocol.events import SandboxStarted
from tether_server import history_schema
from tether_server.history import History

FIRST = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, epoch TEXT NOT NULL, client_seq INTEGER NOT NULL,
    action_id TEXT, final INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX events_of_action ON events (action_id, seq) WHERE action_id IS NOT NULL;
CREATE TABLE progress (epoch TEXT PRIMARY KEY, stored INTEGER NOT NULL);
CREATE TABLE writer (id TEXT NOT NULL);
INSERT INTO writer VALUES ('');
INSERT INTO events VALUES (1, '', 0, NULL, 0, '{"event":"sandbox_started","name":"old",
    "backend":"local","image":null,"attached":false,"time":1.0}');
INSERT INTO progress VALUES ('0123456789abcdef', 7);
PRAGMA user_version = 1;
"""
"""As the first version of Tether made it, which kept no record of changes."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def old(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST)
    return path


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A change that a later version brings; counts how often it was made."""
    made: list[int] = []
    change = ModuleType("v20990101000000_note")

    def upgrade(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < 2:
            connection.execute("ALTER TABLE writer ADD COLUMN note TEXT NOT NULL DEFAULT 'none'")
            connection.execute("PRAGMA user_version = 2")
            made.append(version)

    vars(change).update(upgrade=upgrade, downgrade=upgrade)
    before = history_schema._changes()
    monkeypatch.setattr(history_schema, "VERSION", 2)
    monkeypatch.setattr(history_schema, "_changes", lambda: [*before, change])
    return made


def names(history: History) -> list[str]:
    return [event.name for event in history.since(0) if isinstance(event, SandboxStarted)]


def write(history: History, name: str) -> None:
    history.claim()
    history.store_event(SandboxStarted(name=name, backend="local", image=None, attached=False))
    history.commit()


def test_an_old_file_is_read_and_written(old: Path) -> None:
    history = History(old)
    assert (names(history), history.progress) == (["old"], {"0123456789abcdef": 7})
    write(history, "new")
    assert names(history) == ["old", "new"]
    history.close()


@pytest.mark.parametrize("how", ["new", "old"])
def test_a_later_version_makes_its_change(
    path: Path, how: str, next_version: list[int], request: pytest.FixtureRequest
) -> None:
    if how == "old":
        request.getfixturevalue("old")
    problems: list[Exception] = []

    def open_it() -> None:
        try:
            History(path).close()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (problems, next_version) == ([], [1]), "once, whoever opens it at the same time"
    history = History(path)
    write(history, "new")
    assert names(history) == (["old", "new"] if how == "old" else ["new"])
    assert history._database.execute("SELECT note FROM writer").fetchone() == ("none",)
    history.close()


def test_a_change_that_fails_changes_nothing(
    old: Path, next_version: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = history_schema._changes()
    make = changes[-1].upgrade

    def upgrade(connection: sqlite3.Connection) -> None:
        make(connection)
        raise sqlite3.OperationalError("the disk caught fire")

    monkeypatch.setattr(changes[-1], "upgrade", upgrade)
    monkeypatch.setattr(history_schema, "_changes", lambda: changes)
    with pytest.raises(sqlite3.OperationalError, match="fire"):
        History(old)
    monkeypatch.setattr(history_schema, "VERSION", 1)
    history = History(old)
    assert names(history) == ["old"]
    history.close()


def test_a_newer_file_is_not_touched(old: Path) -> None:
    with closing(sqlite3.connect(old)) as database:
        database.execute("PRAGMA user_version = 2")
    before = old.read_bytes()
    with pytest.raises(StateUnusable, match="newer Tether") as caught:
        History(old)
    assert "TETHER_STATE_DIR" in caught.value.hint
    assert old.read_bytes()[100:] == before[100:]


def test_pages_are_as_large_as_the_history_wants_them(path: Path) -> None:
    history = History(path)
    assert history._database.execute("PRAGMA page_size").fetchone() == (16384,)
    assert history._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    history.close()


def test_a_file_of_this_version_costs_no_import(path: Path) -> None:
    History(path).close()
    program = (
        "import sys; from pathlib import Path; from tether_server.history import History;"
        f"History(Path({str(path)!r})).close(); print('caribou' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_the_first_tables_are_not_taken_back(path: Path) -> None:
    import caribou

    History(path).close()
    with pytest.raises(sqlite3.NotSupportedError):
        caribou.downgrade(str(path), history_schema._changes(), "0")
