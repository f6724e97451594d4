"""The first tables. A file may have them from before there was a record of changes."""

from __future__ import annotations

import sqlite3

_TABLES = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL,      -- '' for what the server itself saw
    client_seq INTEGER NOT NULL,
    action_id TEXT,
    final INTEGER NOT NULL,   -- 1 for the observation that ends its action
    body BLOB NOT NULL        -- the frame as it came, or the server's event as JSON
);
CREATE INDEX events_of_action ON events (action_id, seq) WHERE action_id IS NOT NULL;
CREATE TABLE progress (epoch TEXT PRIMARY KEY, stored INTEGER NOT NULL);  -- newest last
CREATE TABLE writer (id TEXT NOT NULL);   -- one row: whoever claimed the history last
INSERT INTO writer VALUES ('');
PRAGMA user_version = 1
"""


def upgrade(connection: sqlite3.Connection) -> None:
    """Begin a transaction, which the caller commits with its note of the change."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < 1:
        for statement in _TABLES.split(";"):
            connection.execute(statement)


def downgrade(connection: sqlite3.Connection) -> None:
    """Refuse: it would take the events along."""
    raise sqlite3.NotSupportedError("a history is not taken back to before its first tables")
