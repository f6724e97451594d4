"""The tables of a history, and how those that a former version made become these.

One module for each change, named by its time; none is ever edited once it was released. Each is
one transaction, which also raises the file's `user_version`: so a file of this version, which most
are, costs one question, and what makes changes is not even imported.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import ModuleType

from tether_runtime_client.protocol.errors import StateUnusable

VERSION = 1
"""How many changes there are."""


def bring_up_to_date(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables of `path`, which `database` is open on, those of this version.

    Other processes may do the same at this moment. Raises `StateUnusable`, and changes nothing,
    when the file is of a newer version.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StateUnusable(
            f"{path} was written by a newer Tether (its schema is {version}, ours {VERSION})",
            hint="Use that one, or set TETHER_STATE_DIR to another folder",
        )
    if version < VERSION:
        _upgrade(database, path)


def _upgrade(database: sqlite3.Connection, path: Path) -> None:
    import caribou
    from caribou.migrate import VERSION_TABLE

    # Its own table is made at once, or not: another process must not find it without its row.
    database.execute("BEGIN IMMEDIATE")
    with database:
        database.execute(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version TEXT)")
        found = database.execute(f"SELECT COUNT(*) FROM {VERSION_TABLE}").fetchone()
        if found == (0,):
            database.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('0')")
    caribou.upgrade(str(path), _changes())


def _changes() -> list[ModuleType]:
    from . import v20261105000000_events

    return [v20261105000000_events]
