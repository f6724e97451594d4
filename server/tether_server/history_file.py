"""Opening a history's file, which another process may hold at that moment.

A server that was killed leaves its last events for the next who opens the file to recover, and the
last who closes it moves them into place: both lock everybody else out, for as long as the disk
takes. SQLite does not wait for that in every case, so it is tried again here, for a while.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tether_runtime_client.protocol.errors import StateUnusable

from .history_schema import bring_up_to_date

SETTINGS = (
    "page_size = 16384",  # an event with 64 KiB of output is on 5 pages, not on 17
    "journal_mode = WAL",
    "synchronous = OFF",
    "wal_autocheckpoint = 4096",  # 64 MiB: a checkpoint amid a flood would write it all twice
    "journal_size_limit = 4194304",
)
LOCK_TIMEOUT_S = 0.5
"""Writers hold the file for milliseconds; who holds it for longer must not stop the loop."""

OPEN_TIMEOUT_S = 10.0
"""Recovering a large file on a busy machine takes a second or two."""

_PAUSE_S = 0.02
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


def open_history_file(path: Path) -> sqlite3.Connection:
    """The file, made where it is not there, with the tables and settings of this version.

    Raises `StateUnusable` when it is of a newer version, or another process holds it for longer
    than `OPEN_TIMEOUT_S`, and `sqlite3.Error`.
    """
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            return _opened(path)
        except sqlite3.OperationalError as problem:
            if not is_held(problem):
                raise
            if time.monotonic() >= deadline:
                raise held(str(path)) from problem
        time.sleep(_PAUSE_S)  # nothing wakes who waits for a lock of SQLite's


@contextmanager
def patient(database: sqlite3.Connection) -> Iterator[None]:
    """For what is done once and has to succeed: wait for as long as opening may take.

    Raises `StateUnusable` when that was not long enough.
    """
    database.execute(f"PRAGMA busy_timeout = {OPEN_TIMEOUT_S * 1000:.0f}")
    try:
        yield
    except sqlite3.OperationalError as problem:
        if is_held(problem):
            raise held("the sandbox's history") from problem
        raise
    finally:
        database.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_S * 1000:.0f}")


def is_held(problem: sqlite3.OperationalError) -> bool:
    """Whether another process's lock is what is in the way."""
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF in _HELD  # without the extended part


def held(what: str) -> StateUnusable:
    """The error for that."""
    return StateUnusable(
        f"{what} is locked by another process, for too long",
        hint="Try again; a backup or a tool that reads the file may hold it: `fuser` tells which",
    )


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        for setting in SETTINGS:
            database.execute(f"PRAGMA {setting}")
        bring_up_to_date(database, path)
    except BaseException:
        database.close()
        raise
    return database
