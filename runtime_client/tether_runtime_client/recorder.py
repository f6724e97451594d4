"""The one place where events are numbered, journalled and handed to whoever is attached."""

from __future__ import annotations

import secrets
import time
from collections import deque
from pathlib import Path
from typing import Protocol

from .journal import Journal, Position
from .protocol.actions import Action
from .protocol.errors import ActionLost, DiskFull, TetherError
from .protocol.events import (
    ActionAccepted,
    ClientStarted,
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
    OutputOmitted,
)
from .protocol.frames import EpochRange, encode_numbered
from .protocol.ledger import Ledger, Verdict
from .protocol.observations import ErrorObservation, Observation
from .recovery import Recovered, recover

UNACKNOWLEDGED_LIMIT = 64 * 1024 * 1024
"""Bytes of deltas that may wait for an acknowledgement; past it they are left out, and said so."""


_LAZY = (ActionAccepted, CmdOutputDelta, ExecOutputDelta)
LAZY_BELOW = 16 * 1024
"""An acceptance or a small delta may wait a moment: mostly the action's end goes with it."""


class Follower(Protocol):
    """An attached connection: gets every frame once, in order, at the moment it is journalled."""

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        """Take the frame written just after the place `before`; a `lazy` one is in no hurry."""


class Recorder:
    """Numbers, journals and distributes the events of one client life."""

    def __init__(self, folder: Path) -> None:
        self.epoch = secrets.token_hex(8)
        self.journal = Journal(folder, self.epoch)
        self.recovered: Recovered = recover(self.journal)
        self.ledger = Ledger(self.epoch)
        self._kinds: dict[str, str] = {}
        self._followers: list[Follower] = []
        self._deltas: deque[tuple[int, int]] = deque()
        self._delta_bytes = 0
        self._omitted: dict[str, OutputOmitted] = {}

    def start(self, started: ClientStarted) -> None:
        """Write this life's first event, and the end of every action the last one lost."""
        lost = self.recovered.lost
        self.emit(started.model_copy(update={"lost_actions": tuple(lost)}))
        for action in lost.values():
            error = ActionLost(
                f"the runtime client died while this {action.kind} action ran",
                partial=action.partial,
            )
            self._record(error_observation(error, action.action_id))

    def accept(self, action_id: str, action: Action) -> Verdict:
        """Decide on a submission; when it is "new" its acceptance is journalled before it runs.

        Raises `DiskFull` when the journal takes no new work; nothing was accepted then.
        """
        if self.journal.degraded:
            raise DiskFull("the sandbox's run directory is full: no new action is accepted")
        if action_id in self.recovered.ended:
            return "ended"
        verdict = self.ledger.accept(action_id)
        if verdict == "new":
            self._kinds[action_id] = action.action
            self.emit(ActionAccepted(action_id=action_id, kind=action.action))
        return verdict

    def emit(self, event: Event) -> None:
        """Record an event. Deltas past the limit are left out, and one event stands for them."""
        if isinstance(event, CmdOutputDelta | ExecOutputDelta):
            if self._is_full:
                self._omit(event)
                return
            self._tell_omitted(event.action_id)
        self._record(event)

    def finish(self, action_id: str, observation: Observation) -> None:
        """Record the action's final event."""
        self._tell_omitted(action_id)
        self._record(observation.model_copy(update={"action_id": action_id}))

    def acknowledge(self, epoch: str, seq: int) -> None:
        """The controller has stored everything up to `seq` of `epoch`: forget it."""
        if epoch != self.epoch:
            self._acknowledge_earlier(epoch, seq)
        elif self.ledger.acknowledge(epoch, seq):
            while self._deltas and self._deltas[0][0] <= seq:
                self._delta_bytes -= self._deltas.popleft()[1]
            self.journal.trim(seq)

    def ranges(self) -> tuple[EpochRange, ...]:
        """What can be replayed, oldest epoch first; this epoch is last."""
        earlier = (span.range() for span in self.recovered.epochs.values())
        return (*earlier, self.ledger.outstanding())

    def follow(self, follower: Follower) -> None:
        """Hand every new frame to `follower` from now on."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Stop that. Twice is safe."""
        if follower in self._followers:
            self._followers.remove(follower)

    @property
    def _is_full(self) -> bool:
        return self._delta_bytes > UNACKNOWLEDGED_LIMIT or self.journal.degraded

    def _record(self, event: Event) -> None:
        seq = self.ledger.next_seq()
        stamped = event.model_copy(update={"time": time.time()})
        frame = encode_numbered(self.epoch, seq, stamped)
        if isinstance(event, Observation) and event.action_id is not None:
            self.ledger.end(event.action_id, seq)
            self._kinds.pop(event.action_id, None)
        elif isinstance(event, CmdOutputDelta | ExecOutputDelta):
            self._deltas.append((seq, len(frame)))
            self._delta_bytes += len(frame)
        before = self.journal.end()
        self.journal.append(frame, seq, self._kinds)
        lazy = isinstance(event, _LAZY) and len(frame) < LAZY_BELOW
        for follower in self._followers:
            follower.on_frame(frame, before, lazy=lazy)

    def _omit(self, event: CmdOutputDelta | ExecOutputDelta) -> None:
        key = f"{event.action_id}/{getattr(event, 'stream', '')}"
        length = event.length if isinstance(event, CmdOutputDelta) else len(event.data)
        known = self._omitted.get(key)
        self._omitted[key] = OutputOmitted(
            action_id=event.action_id,
            from_offset=known.from_offset if known else event.offset,
            to_offset=event.offset + length,
            path=None,
        )

    def _tell_omitted(self, action_id: str | None) -> None:
        if self._omitted:
            for key in [k for k, gone in self._omitted.items() if gone.action_id == action_id]:
                self._record(self._omitted.pop(key))

    def _acknowledge_earlier(self, epoch: str, seq: int) -> None:
        span = self.recovered.epochs.get(epoch)
        if span is not None and seq >= span.last:
            self.recovered.forget(epoch)
            self.journal.drop_epoch(epoch)


def error_observation(error: TetherError, action_id: str | None = None) -> ErrorObservation:
    """An error as the final event of an action."""
    return ErrorObservation(
        action_id=action_id,
        code=error.code,
        message=error.message,
        hint=error.hint,
        data=error.data,
    )
