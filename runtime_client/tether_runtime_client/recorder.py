"""The one place where events are numbered, journalled and handed to whoever is attached."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from .backlog import BOUNDED, Backlog, Omissions
from .journal import Journal, Position
from .pace import Pace
from .protocol.actions import Action
from .protocol.errors import (
    ActionLost,
    DiskFull,
    FrameTooLarge,
    InternalError,
    TetherError,
)
from .protocol.events import (
    ActionAccepted,
    ClientStarted,
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
    HistoryGap,
)
from .protocol.frames import EpochRange, StoredEvent, digest, encode_numbered
from .protocol.ledger import Ledger, Verdict
from .protocol.limits import MAX_FRAME
from .protocol.message import changed
from .protocol.observations import Observation, error_observation
from .protocol.plugin_actions import OpaqueAction
from .recovery import Recovered, recover
from .segment import renumber

ROOM_FOR_ACTION = 1024 * 1024
"""An action is accepted on a full disk while as much is left for the ends of those that run."""

_LAZY = (ActionAccepted, CmdOutputDelta, ExecOutputDelta)
LAZY_BELOW = 16 * 1024
"""An acceptance or a small delta waits for the end of the loop's turn, in which work is begun."""

_BATCH = 1024 * 1024

log = logging.getLogger(__name__)


class Follower(Protocol):
    """An attached connection: gets every frame once, in order, at the moment it is journalled."""

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        """Take the frame written just after the place `before`; a `lazy` one is in no hurry."""

    def on_set_back(self) -> None:
        """The numbers it was told at its welcome hold no more."""


class Recorder:
    """Numbers, journals and distributes the events of one client life."""

    def __init__(self, folder: Path) -> None:
        epoch = secrets.token_hex(8)
        self.journal = Journal(folder, epoch)
        self.recovered: Recovered = recover(self.journal)
        self.ledger = Ledger(epoch)
        self._kinds: dict[str, str] = {}
        self._followers: list[Follower] = []
        self.pace = Pace()
        self._backlog = Backlog()
        self._omissions = Omissions()
        self._unwritten: deque[Event] = deque()
        self._acknowledged = asyncio.Event()

    @property
    def epoch(self) -> str:
        """The epoch that new events get."""
        return self.ledger.epoch

    def start(self, started: ClientStarted) -> None:
        """Write this life's first event, and the end of every action the last one lost."""
        lost = self.recovered.lost
        self.emit(changed(started, lost_actions=tuple(lost)))
        for gap in self.recovered.gaps.values():
            self.emit(gap)
        known = _known_of_the_end(started)
        how = f" ({_in_words(started)})" if known else ""
        for action in lost.values():
            error = ActionLost(
                f"the runtime client died{how} while this {action.kind} action ran",
                partial=action.partial,
                **known,
            )
            self._record(error_observation(error, action.action_id))

    def knows(self, action_id: str) -> bool:
        """Whether an action of this id was accepted before, and its end not acknowledged."""
        return action_id in self.recovered.ended or self.ledger.verdict(action_id) != "new"

    def accept(self, action_id: str, action: Action) -> Verdict:
        """Decide on a submission; when it is "new" its acceptance is journalled before it runs.

        Raises `DiskFull` when the journal takes no new work; nothing was accepted then.
        """
        if action_id in self.recovered.ended:
            return "ended"
        verdict = self.ledger.verdict(action_id)
        if verdict == "new":
            self._begin(action_id, action)
        return verdict

    def emit(self, event: Event) -> None:
        """Record an event. Output past the limit is left out, and one event stands for it."""
        if isinstance(event, BOUNDED) and self._is_full:
            self._omissions.add(event)
            return
        self._tell_omitted(event.action_id)
        self._record(event)

    def finish(self, action_id: str, observation: Observation) -> None:
        """Record the action's final event."""
        self._tell_omitted(action_id)
        self._record(observation, action_id=action_id)

    def acknowledge(self, epoch: str, seq: int) -> None:
        """The controller has stored everything up to `seq` of `epoch`: forget it."""
        self._acknowledged.set()
        if epoch != self.epoch:
            self._acknowledge_earlier(epoch, seq)
            return
        if not self.ledger.acknowledge(epoch, seq):
            log.warning("an acknowledgement of event %d, and %d is the last", seq, self.last_seq)
            return
        self._backlog.acknowledge(seq)
        self.journal.trim(seq, self._kinds)
        self._write_waiting()
        if not self._is_full:
            for event in self._omissions.about_sessions():
                self._record(event)

    @property
    def all_acknowledged(self) -> bool:
        """Whether a controller has stored everything there is, of earlier epochs too."""
        return self.ledger.acknowledged >= self.last_seq and not self.recovered.epochs

    async def next_acknowledgement(self) -> None:
        """Return when something is acknowledged, or a connection goes."""
        self._acknowledged.clear()
        await self._acknowledged.wait()

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self.ledger.last_seq

    def ranges(self) -> tuple[EpochRange, ...]:
        """What can be replayed, oldest epoch first; this epoch is last."""
        return (*self.recovered.epochs.values(), self.ledger.outstanding())

    def follow(self, follower: Follower) -> None:
        """Hand every new frame to `follower` from now on."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Stop that. Twice is safe."""
        if follower in self._followers:
            self._followers.remove(follower)
        self._acknowledged.set()

    # --- a sandbox that was set back

    def compare(self, have: dict[str, int], newest: StoredEvent | None) -> None:
        """Look at what a controller has stored; what this client did not number shows that it
        was set back to an earlier state (a snapshot, a clone). It takes a new epoch then.
        """
        stored = have.get(self.epoch, 0)
        if stored > self.last_seq or (newest is not None and self._differs(newest)):
            self._set_back(stored)

    def _differs(self, stored: StoredEvent) -> bool:
        if stored.epoch != self.epoch or not self.ledger.acknowledged < stored.seq <= self.last_seq:
            return False
        have = self._earlier() | {self.epoch: stored.seq - 1}
        frames, _ = self.journal.read(self.journal.start(), _BATCH, have)
        return bool(frames) and digest(frames[0]) != stored.sha256

    def _set_back(self, stored: int) -> None:
        """What is not acknowledged is told again under new numbers, after a gap that says so.

        Some of it may have been told before: which, only the lost future knew.
        """
        former = self.ledger
        log.error("the sandbox was set back: a server has event %d of %s", stored, former.epoch)
        position = self.journal.start()
        epoch = secrets.token_hex(8)
        self.journal.begin_epoch(epoch, self._kinds)
        self.ledger = former.successor(epoch)
        self._backlog = Backlog()
        for follower in tuple(self._followers):
            follower.on_set_back()
        reason = (
            f"the sandbox was set back to an earlier state: of what it told before, events up to"
            f" {max(stored, former.last_seq)} may be missing, and what follows may repeat them"
        )
        gap = HistoryGap(
            epoch=former.epoch, first=former.acknowledged + 1, last=None, reason=reason
        )
        self._record(gap)
        self._tell_again(former, position)
        self.journal.drop_epoch(former.epoch)

    def _tell_again(self, former: Ledger, position: Position) -> None:
        finals = {seq: action_id for action_id, seq in former.ended.items()}
        have = self._earlier() | {former.epoch: former.acknowledged}
        seq = former.acknowledged
        while seq < former.last_seq:
            frames, position = self.journal.read(position, _BATCH, have)
            for frame in frames:
                seq += 1
                again = renumber(frame, self.epoch, self.ledger.next_seq)
                self._backlog.add(self.ledger.next_seq, len(again))
                self._write(again, finals.get(seq))

    def _earlier(self) -> dict[str, int]:
        return {span.epoch: span.last for span in self.recovered.epochs.values()}

    # --- inside

    @property
    def _is_full(self) -> bool:
        return self._backlog.is_full or self.journal.degraded

    def _begin(self, action_id: str, action: Action) -> None:
        self.journal.recover_space(self._kinds)
        if self._unwritten or self.journal.room < ROOM_FOR_ACTION:
            raise DiskFull("the sandbox's run directory is full: no new action is accepted")
        kind = action.kind if isinstance(action, OpaqueAction) else action.action
        event = ActionAccepted(action_id=action_id, kind=kind, time=time.time())
        self._write_event(event)
        self.ledger.begin(action_id)
        self._kinds[action_id] = kind

    def _record(self, event: Event, **fields: Any) -> None:
        """Write an event now, or as soon as there is space again."""
        stamped = changed(event, time=time.time(), **fields)
        if not self._unwritten:
            try:
                self._write_event(stamped)
            except DiskFull as problem:
                log.error("an event waits in memory: %s", problem)
            else:
                return
        self._unwritten.append(stamped)

    def _write_waiting(self) -> None:
        while self._unwritten:
            try:
                self._write_event(self._unwritten[0])
            except DiskFull:
                return
            self._unwritten.popleft()

    def _write_event(self, event: Event) -> None:
        """Number and write an event; raises `DiskFull` when it was not, and took no number."""
        seq = self.ledger.next_seq
        frame = encode_whole(self.epoch, seq, event)
        final_of = event.action_id if isinstance(event, Observation) else None
        lazy = isinstance(event, _LAZY) and len(frame) < LAZY_BELOW
        self._write(frame, final_of, lazy=lazy)
        if isinstance(event, BOUNDED):
            self._backlog.add(seq, len(frame))

    def _write(self, frame: bytes, final_of: str | None, *, lazy: bool = False) -> None:
        before = self.journal.end()
        self.journal.append(frame, self.ledger.next_seq, self._kinds)
        seq = self.ledger.record()
        if final_of is not None:
            self.ledger.end(final_of, seq)
            self._kinds.pop(final_of, None)
        for follower in tuple(self._followers):
            follower.on_frame(frame, before, lazy=lazy)

    def _tell_omitted(self, action_id: str | None) -> None:
        for event in self._omissions.about(action_id):
            self._record(event)

    def _acknowledge_earlier(self, epoch: str, seq: int) -> None:
        span = self.recovered.epochs.get(epoch)
        if span is not None and seq >= span.last:
            self.recovered.forget(epoch)
            self.journal.drop_epoch(epoch)


def _in_words(started: ClientStarted) -> str:
    known = [started.previous_end] if started.previous_end else []
    if started.oom_kills:
        known.append("the kernel had killed processes because memory had run out")
    return "; ".join(known)


def _known_of_the_end(started: ClientStarted) -> dict[str, Any]:
    """What is known of how the former client died, for those who asked it for something."""
    known = {"previous_end": started.previous_end, "oom_kills": started.oom_kills}
    return {name: value for name, value in known.items() if value}


def encode_whole(epoch: str, seq: int, event: Event) -> bytes:
    """An event as its frame; what cannot be sent is told by an event that can."""
    try:
        frame = encode_numbered(epoch, seq, event)
    except ValueError as problem:
        log.exception("an event cannot be encoded")
        error: TetherError = InternalError(f"it cannot be encoded: {problem}"[:1000])
    else:
        if len(frame) <= MAX_FRAME:
            return frame
        error = FrameTooLarge(f"it is {len(frame):,} bytes long, and {MAX_FRAME:,} is the most")
    return encode_numbered(epoch, seq, _stand_in(epoch, seq, event, error))


def _stand_in(epoch: str, seq: int, event: Event, error: TetherError) -> Event:
    if isinstance(event, Observation):
        told = type(error)(f"the action ended, and its observation is lost: {error.message}")
        return changed(error_observation(told, event.action_id), time=event.time)
    reason = f"an event is lost: {error.message}"
    return HistoryGap(epoch=epoch, first=seq, last=seq, reason=reason, time=event.time)
