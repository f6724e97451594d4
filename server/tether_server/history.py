"""The server's history of one sandbox: a SQLite file with every event, in order, for good.

Written in batches without fsync: it survives the death of this process, not of the kernel. What
is not committed yet was not acknowledged either, so the client sends it again. Any number of
readers, in this process or others, may read while it is written.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from tether_runtime_client.protocol.actions import Action, AnyAction
from tether_runtime_client.protocol.errors import Fenced
from tether_runtime_client.protocol.events import ActionSubmitted, Event, server_event_adapter
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    decode_from_client,
)
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.observations import Observation, observation_adapter

from .action_log import ActionLog, forget_left_behind, left_behind

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL,      -- '' for what the server itself saw
    client_seq INTEGER NOT NULL,
    action_id TEXT,
    final INTEGER NOT NULL,   -- 1 for the observation that ends its action
    body BLOB NOT NULL        -- the frame as it came, or the server's event as JSON
);
CREATE INDEX events_of_action ON events (action_id, seq) WHERE action_id IS NOT NULL;
CREATE TABLE progress (epoch TEXT PRIMARY KEY, stored INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE writer (id TEXT NOT NULL);   -- one row: whoever claimed the history last
INSERT INTO writer VALUES ('');
"""
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)"
_PAGE = 256

Row = tuple[int, str, int, str | None, bool, bytes]


class History:
    """One process's view of a history file. Reading is safe from any thread.

    Only the last process that called `claim` may write; another one's writes raise `Fenced`.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._migrate()
        self._lock = threading.RLock()
        self._writer = secrets.token_hex(8)
        self._actions = ActionLog(path.parent, self._writer)
        self._pending: list[Row] = []
        self._advanced: set[str] = set()
        self._closed = False
        self.last_seq = 0
        self.progress: dict[str, int] = {}
        self._read_state()

    def claim(self) -> None:
        """Become the only writer. What a former writer had not committed, it cannot any more."""
        with self._lock:
            self._database.execute("UPDATE writer SET id = ?", (self._writer,))
            self._read_state()
            self._take_over_actions()
            self.commit()
            forget_left_behind(self.path.parent)

    def _take_over_actions(self) -> None:
        """Actions that a dead server had made safe, and perhaps sent, belong to the history."""
        for body in left_behind(self.path.parent):
            event = server_event_adapter.validate_json(body)
            if event.action_id is not None and not self.submitted(event.action_id):
                self._insert("", 0, event.action_id, False, body)

    def _read_state(self) -> None:
        row = self._database.execute("SELECT MAX(seq) FROM events").fetchone()
        self.last_seq = row[0] or 0
        self.progress = dict(self._database.execute("SELECT epoch, stored FROM progress"))

    # --- writing

    def store_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> Event:
        """Store a numbered frame of the client, as it came; returns its event with `seq` set."""
        final = isinstance(frame, ObservationFrame)
        event: Event = frame.observation if isinstance(frame, ObservationFrame) else frame.event
        seq = self._insert(frame.epoch, frame.seq, event.action_id, final, raw)
        self.progress[frame.epoch] = frame.seq
        self._advanced.add(frame.epoch)
        return _with_seq(event, seq)

    def store_event(self, event: Event) -> Event:
        """Store what the server itself saw, or an observation it had to make up."""
        stamped = event.model_copy(update={"time": time.time()})
        final = isinstance(event, Observation)
        seq = self._insert("", 0, event.action_id, final, to_json(stamped))
        return _with_seq(stamped, seq)

    def store_action(self, action_id: str, action: Action) -> None:
        """Store an action for good: from here on it is safe to send."""
        known = cast(AnyAction, action)
        submitted = ActionSubmitted.model_construct(
            seq=0, time=time.time(), action_id=action_id, event="submitted", action=known
        )
        body = to_json(submitted)
        self._actions.append(body)
        self._insert("", 0, action_id, False, body)

    def skip(self, epoch: str, last: int) -> None:
        """Events of `epoch` up to `last` are gone; a `HistoryGap` was stored in their place."""
        self.progress[epoch] = last
        self._advanced.add(epoch)

    def commit(self) -> None:
        """Write what was stored; only then may it be acknowledged.

        Raises `Fenced` when another process has claimed the history, and then drops what was
        not written: the client gives it to the other one. After any other failure, such as a
        full disk (`sqlite3.OperationalError`), nothing is dropped and the next call tries again.
        """
        with self._lock:
            if self._closed or not (self._pending or self._advanced):
                return
            rows, self._pending = self._pending, []
            epochs, self._advanced = self._advanced, set()
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._write(rows, epochs)
                self._database.execute("COMMIT")
            except Fenced:
                self._database.execute("ROLLBACK")
                raise
            except BaseException:
                self._database.execute("ROLLBACK")
                self._pending, self._advanced = rows + self._pending, epochs | self._advanced
                raise
            self._actions.clear()

    def close(self) -> None:
        """Commit and close for writing; reading goes on. Twice is safe."""
        with self._lock:
            if self._closed:
                return
            try:
                self.commit()
            finally:
                self._closed = True
                self._database.close()
                self._actions.close()

    # --- reading

    def since(self, seq: int, action_id: str | None = None) -> Iterator[Event]:
        """The stored events after `seq`, all or those about one action, in order."""
        while page := self._page(seq, action_id):
            for row in page:
                yield _to_event(row)
            seq = page[-1][0]

    def page(self, seq: int, action_id: str | None = None) -> list[Event]:
        """A bounded number of the same."""
        return [_to_event(row) for row in self._page(seq, action_id)]

    def submitted(self, action_id: str) -> bool:
        """Whether an action of this id was ever stored."""
        query = "SELECT 1 FROM events WHERE action_id = ? LIMIT 1"
        return bool(self._select(query, (action_id,)))

    def final(self, action_id: str) -> Observation | None:
        """The observation that ended an action, if it has ended."""
        query = "SELECT seq, epoch, final, body FROM events WHERE action_id = ? AND final = 1"
        rows = self._select(query, (action_id,))
        event = _to_event(rows[0]) if rows else None
        return event if isinstance(event, Observation) else None

    def unfinished(self) -> dict[str, AnyAction]:
        """Actions that were stored and have no final event, in order."""
        query = (
            "SELECT seq, epoch, final, body FROM events AS e WHERE epoch = '' AND final = 0"
            " AND action_id IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM events WHERE action_id = e.action_id AND final = 1) ORDER BY seq"
        )
        events = (_to_event(row) for row in self._select(query, ()))
        return {
            e.action_id: e.action for e in events if isinstance(e, ActionSubmitted) and e.action_id
        }

    # --- inside

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise ValueError(f"{self.path} was written by a newer Tether (schema {version})")
        if version == 0:
            script = f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._database.executescript(script)

    def _insert(
        self, epoch: str, client_seq: int, action_id: str | None, final: bool, body: bytes
    ) -> int:
        with self._lock:
            self.last_seq += 1
            self._pending.append((self.last_seq, epoch, client_seq, action_id, final, body))
            return self.last_seq

    def _write(self, rows: list[Row], epochs: set[str]) -> None:
        (writer,) = self._database.execute("SELECT id FROM writer").fetchone()
        if writer != self._writer:
            raise Fenced("another server has claimed this sandbox's history")
        self._database.executemany(_INSERT, rows)
        for epoch in epochs:
            row = (epoch, self.progress[epoch])
            self._database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", row)

    def _page(self, seq: int, action_id: str | None) -> list[tuple[int, str, int, bytes]]:
        query = "SELECT seq, epoch, final, body FROM events WHERE seq > ? {} ORDER BY seq LIMIT ?"
        if action_id is None:
            return self._select(query.format(""), (seq, _PAGE))
        return self._select(query.format("AND action_id = ?"), (seq, action_id, _PAGE))

    def _select(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            if not self._closed:
                self._write_pending()
                return self._database.execute(query, values).fetchall()
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(query, values).fetchall()

    def _write_pending(self) -> None:
        """Readers see what was stored, committed or not; one that lost its claim sees the rest."""
        try:
            self.commit()
        except Fenced as fenced:
            log.debug("reading only: %s", fenced)


def _to_event(row: tuple[int, str, int, bytes]) -> Event:
    seq, epoch, final, body = row
    if epoch:
        frame = decode_from_client(body)
        assert isinstance(frame, EventFrame | ObservationFrame)
        event = frame.observation if isinstance(frame, ObservationFrame) else frame.event
        return _with_seq(event, seq)
    adapter: TypeAdapter[Any] = observation_adapter if final else server_event_adapter
    return _with_seq(adapter.validate_json(body), seq)


def _with_seq(event: Event, seq: int) -> Event:
    return event.model_copy(update={"seq": seq})
