"""Opening a history while others hold its file: waited for, with a bound, and told as that."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tether_runtime_client.protocol.events import ConnectionLost
from tether_server import EventStreamRuntime, StateUnusable
from tether_server import history_file as module
from tether_server.history import History
from tether_server.record import sandbox_folder

ROUNDS = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box" / "history.sqlite3"


def _hold(path: Path) -> sqlite3.Connection:
    """Lock everybody out, as one that recovers the file, or is the last to close it, does."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_who_holds_it_for_longer_than_a_write_is_waited_for(path: Path) -> None:
    History(path).close()
    other = _hold(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        module._opened(path)
    release = threading.Timer(2 * module.LOCK_TIMEOUT_S, other.close)
    release.start()
    try:
        history = History(path)
        history.claim()
        history.close()
    finally:
        release.join()


async def test_who_never_lets_go_is_told_of(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_TIMEOUT_S", 0.1)
    async with EventStreamRuntime(backend="local", name="held", keep=True):
        pass
    other = _hold(sandbox_folder("held") / "history.sqlite3")
    with pytest.raises(StateUnusable, match="locked by another process") as caught:
        await EventStreamRuntime.attach("held").start()
    assert "Try again" in caught.value.hint
    other.close()
    async with EventStreamRuntime.attach("held") as runtime:
        await runtime.close(keep=False)


async def test_who_lets_nobody_write_is_told_of_too(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStreamRuntime(backend="local", name="held", keep=True):
        pass
    monkeypatch.setattr(module, "OPEN_TIMEOUT_S", 0.1)
    file = sandbox_folder("held") / "history.sqlite3"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnusable, match="locked by another process"):
        await EventStreamRuntime.attach("held").start()
    other.close()
    async with EventStreamRuntime.attach("held") as runtime:
        await runtime.close(keep=False)


def _write_for_ever(path: Path) -> None:
    history = History(path)
    history.claim()
    while True:
        history.store_event(ConnectionLost(reason="x" * 4000))
        history.commit()


def _open_for_ever(path: Path) -> None:
    while True:
        History(path).close()


def test_writers_and_readers_that_are_killed_keep_nobody_out(path: Path) -> None:
    """Whoever opens it next recovers what they left, side by side with others that do."""
    fork = multiprocessing.get_context("fork")
    seen = 0
    for round_ in range(ROUNDS):
        work = (_write_for_ever, _open_for_ever, _open_for_ever)
        processes = [fork.Process(target=each, args=(path,)) for each in work]
        for process in processes:
            process.start()
        processes[0].join(0.02 * (round_ % 4) + 0.05)
        for process in processes[:2]:
            os.kill(process.pid or 0, 9)
        try:
            history = History(path)
            history.claim()
            assert history.last_seq >= seen
            assert [e.seq for e in history.since(seen)] == list(
                range(seen + 1, history.last_seq + 1)
            )
            seen = history.last_seq
            history.close()
        finally:
            for process in processes:
                process.kill()
                process.join(30)
    assert seen
