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
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tether_runtime_client.protocol.actions import Action
from tether_runtime_client.protocol.errors import Fenced, MalformedFrame
from tether_runtime_client.protocol.events import (
    ActionSubmitted,
    Event,
    HistoryGap,
    server_event_adapter,
)
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    StoredEvent,
    decode_from_client,
    digest,
    encode_submitted,
)
from tether_runtime_client.protocol.limits import MAX_EPOCHS
from tether_runtime_client.protocol.message import changed, to_json
from tether_runtime_client.protocol.observations import Observation, observation_adapter

from .action_log import ActionLog, forget_left_behind, left_behind
from .history_file import open_history_file, patient

log = logging.getLogger(__name__)

_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)"
_ADVANCE = """
    INSERT INTO progress VALUES (?, ?) ON CONFLICT (epoch) DO UPDATE SET stored = excluded.stored
"""  # a row that is there keeps its place: the newest life is the last
_PAGE = 256
_PAGE_BYTES = 4 * 1024 * 1024
_EPOCHS_KEPT = 4 * MAX_EPOCHS
"""Of older lives it is forgotten how far they were stored: no client speaks of them any more."""

Row = tuple[int, str, int, str | None, bool, bytes]


class History:
    """One process's view of a history file. Reading is safe from any thread.

    Only the last process that called `claim` may write; another one's writes raise `Fenced`.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._database = open_history_file(path)
        self._lock = threading.RLock()
        self._writer = secrets.token_hex(8)
        self._actions = ActionLog(path.parent, self._writer)
        self._pending: list[Row] = []
        self._pending_ends: set[str] = set()
        self._advanced: set[str] = set()
        self._newest: tuple[str, int, bytes] | None = None
        self._closed = False
        self.last_seq = 0
        self.progress: dict[str, int] = {}
        self._read_state()

    def claim(self) -> None:
        """Become the only writer. What a former writer had not committed, it cannot any more.

        All at once: a former one that lives removes its log of actions as soon as it finds that it
        may not write any more.
        """
        with self._lock:
            with patient(self._database), self._transaction():
                self._database.execute("UPDATE writer SET id = ?", (self._writer,))
                self._read_state()
                self._forget_lives()
                self._database.executemany(_INSERT, self._left_actions())
            forget_left_behind(self.path.parent)

    def _left_actions(self) -> Iterator[Row]:
        """Actions that a dead server had made safe, and perhaps sent, belong to the history."""
        query = "SELECT 1 FROM events WHERE action_id = ?"
        for body in left_behind(self.path.parent):
            event = _left_action(body)
            if event is None or not event.action_id:
                continue
            if self._database.execute(query, (event.action_id,)).fetchone() is None:
                self.last_seq += 1
                yield self.last_seq, "", 0, event.action_id, False, body

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _read_state(self) -> None:
        row = self._database.execute("SELECT MAX(seq) FROM events").fetchone()
        self.last_seq = row[0] or 0
        query = "SELECT epoch, stored FROM progress ORDER BY rowid DESC LIMIT ?"
        rows = self._database.execute(query, (_EPOCHS_KEPT,)).fetchall()
        self.progress = dict(reversed(rows))
        query = "SELECT epoch, client_seq, body FROM events WHERE epoch != '' ORDER BY seq DESC"
        self._newest = self._database.execute(query + " LIMIT 1").fetchone()

    # --- writing

    def store_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> Event:
        """Store a numbered frame of the client, as it came; returns its event with `seq` set."""
        final = isinstance(frame, ObservationFrame)
        event: Event = frame.observation if isinstance(frame, ObservationFrame) else frame.event
        seq = self._insert(frame.epoch, frame.seq, event.action_id, final, raw)
        self.progress[frame.epoch] = frame.seq
        self._advanced.add(frame.epoch)
        self._newest = (frame.epoch, frame.seq, raw)
        return _with_seq(event, seq)

    def store_event(self, event: Event) -> Event:
        """Store what the server itself saw, or an observation it had to make up."""
        stamped = changed(event, time=event.time or time.time())
        final = isinstance(event, Observation)
        seq = self._insert("", 0, event.action_id, final, to_json(stamped))
        return _with_seq(stamped, seq)

    def store_action(self, action_id: str, action: bytes) -> None:
        """Store an action, as JSON, for good: from here on it is safe to send."""
        body = encode_submitted(action_id, action, time.time())
        self._actions.append(body)
        self._insert("", 0, action_id, False, body)

    def know(self, epochs: Iterable[str]) -> None:
        """The client has had these lives, oldest first: `progress` has them in this order, also
        where the last of them is heard of before the others.
        """
        for epoch in epochs:
            self.skip(epoch, self.progress.get(epoch, 0))

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
            try:
                with self._transaction():
                    self._write(rows, epochs)
            except BaseException as problem:
                if not isinstance(problem, Fenced):
                    self._pending, self._advanced = rows + self._pending, epochs | self._advanced
                raise
            self._pending_ends.clear()
            self._actions.clear()

    def close(self) -> None:
        """Commit and close for writing; reading goes on. Twice is safe.

        What cannot be committed was not acknowledged: a kept sandbox tells it to the next server.
        """
        with self._lock:
            if self._closed:
                return
            try:
                self.commit()
            except (Fenced, sqlite3.Error) as problem:
                log.error("%s was closed without its last events: %s", self.path, problem)
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

    def action(self, action_id: str) -> Action | None:
        """The action that was stored under this id, if there is one."""
        query = (
            "SELECT seq, epoch, final, body FROM events WHERE action_id = ? ORDER BY seq LIMIT 1"
        )
        events = [_to_event(row) for row in self._select(query, (action_id,))]
        return next((e.action for e in events if isinstance(e, ActionSubmitted)), None)

    def accepted(self, action_id: str) -> bool:
        """Whether the client is known to have had an action."""
        query = "SELECT 1 FROM events WHERE action_id = ? AND epoch != '' LIMIT 1"
        return bool(self._select(query, (action_id,)))

    def newest(self) -> StoredEvent | None:
        """The last event of the client."""
        if self._newest is None:
            return None
        epoch, seq, raw = self._newest
        return StoredEvent(epoch=epoch, seq=seq, sha256=digest(raw))

    def final(self, action_id: str) -> Observation | None:
        """The observation that ended an action, if it has ended."""
        query = (
            "SELECT seq, epoch, final, body FROM events WHERE action_id = ? AND final = 1"
            " ORDER BY seq LIMIT 1"
        )
        rows = self._select(query, (action_id,))
        event = _to_event(rows[0]) if rows else None
        return event if isinstance(event, Observation) else None

    def has_ended(self, action_id: str) -> bool:
        """Whether an action has its observation. The writer's question: it commits nothing."""
        query = "SELECT 1 FROM events WHERE action_id = ? AND final = 1 LIMIT 1"
        with self._lock:
            if action_id in self._pending_ends:
                return True
            return self._database.execute(query, (action_id,)).fetchone() is not None

    def unfinished(self) -> dict[str, Action]:
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

    def _insert(
        self, epoch: str, client_seq: int, action_id: str | None, final: bool, body: bytes
    ) -> int:
        with self._lock:
            self.last_seq += 1
            self._pending.append((self.last_seq, epoch, client_seq, action_id, final, body))
            if final and action_id is not None:
                self._pending_ends.add(action_id)
            return self.last_seq

    def _write(self, rows: list[Row], epochs: set[str]) -> None:
        (writer,) = self._database.execute("SELECT id FROM writer").fetchone()
        if writer != self._writer:
            raise Fenced("another server took the sandbox over, and its history with it")
        self._database.executemany(_INSERT, rows)
        for epoch in [known for known in self.progress if known in epochs]:  # newest last
            self._database.execute(_ADVANCE, (epoch, self.progress[epoch]))
        if len(self.progress) > 2 * _EPOCHS_KEPT:  # none but a hostile client has so many
            self._forget_lives()
            self.progress = dict(list(self.progress.items())[-_EPOCHS_KEPT:])

    def _forget_lives(self) -> None:
        query = "DELETE FROM progress WHERE rowid <= (SELECT MAX(rowid) FROM progress) - ?"
        self._database.execute(query, (_EPOCHS_KEPT,))

    def _page(self, seq: int, action_id: str | None) -> list[tuple[int, str, int, bytes]]:
        query = "SELECT seq, epoch, final, body FROM events WHERE seq > ? {} ORDER BY seq LIMIT ?"
        if action_id is None:
            return self._select(query.format(""), (seq, _PAGE))
        return self._select(query.format("AND action_id = ?"), (seq, action_id, _PAGE))

    def _select(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            if not self._closed:
                self._write_pending()
                return _fetch(self._database, query, values)
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            return _fetch(file, query, values)

    def _write_pending(self) -> None:
        """Readers see what was stored, committed or not; where it cannot be written, the rest."""
        try:
            self.commit()
        except (Fenced, sqlite3.Error) as problem:
            log.debug("reading only: %s", problem)


def _fetch(database: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[Any]:
    """The rows, at least one and else as many as memory should hold at a time."""
    rows: list[Any] = []
    size = 0
    for row in database.execute(query, values):
        rows.append(row)
        size += len(row[-1]) if isinstance(row[-1], bytes) else 0
        if size >= _PAGE_BYTES:
            break
    return rows


def _left_action(body: bytes) -> Event | None:
    """An action a former writer had made safe; None for a line that a crash or bad disk left."""
    try:
        return server_event_adapter.validate_json(body)
    except ValidationError as problem:
        log.error("a line of an action log cannot be read: %s", problem)
        return None


def _to_event(row: tuple[int, str, int, bytes]) -> Event:
    """What cannot be read, because another version wrote it or the disk broke it, is a gap."""
    seq, epoch, final, body = row
    try:
        return _with_seq(_parse(epoch, final, body), seq)
    except (ValidationError, MalformedFrame) as problem:
        reason = f"this version cannot read the event: {problem}"[:500]
        return HistoryGap(seq=seq, epoch=epoch, first=seq, last=seq, reason=reason)


def _parse(epoch: str, final: int, body: bytes) -> Event:
    if epoch:
        frame = decode_from_client(body)
        if isinstance(frame, ObservationFrame):
            return frame.observation
        if isinstance(frame, EventFrame):
            return frame.event
        raise MalformedFrame(f"a {frame.type} frame was stored as an event")
    adapter: TypeAdapter[Any] = observation_adapter if final else server_event_adapter
    event: Event = adapter.validate_json(body)
    return event


def _with_seq(event: Event, seq: int) -> Event:
    return changed(event, seq=seq)
