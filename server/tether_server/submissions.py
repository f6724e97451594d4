"""Between the link and the history: what was asked, what came, and who waits for the answer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

from tether_runtime_client.protocol.actions import Action
from tether_runtime_client.protocol.errors import (
    ActionLost,
    Fenced,
    FrameTooLarge,
    InvalidAction,
    RuntimeClosed,
    StateUnusable,
    TetherError,
)
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    Connected,
    ConnectionLost,
    ConnectionTrouble,
    Event,
    HistoryGap,
    SandboxInterrupted,
    SandboxStarted,
    SandboxStopped,
    StartProgress,
)
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    StoredEvent,
    WelcomeFrame,
    encode_submit,
)
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.message import changed, to_json
from tether_runtime_client.protocol.observations import (
    ErrorObservation,
    Observation,
    error_observation,
)
from tether_runtime_client.protocol.server_side import Gap

from .doubt import Doubt, second_end
from .event_stream import EventStream
from .history import History
from .link import Ended, Link
from .saving import Saver
from .submission_frame import Submission, body_of, check

log = logging.getLogger(__name__)


class Submissions:
    """The `LinkUser` of a controller. Every event goes into the history once, then to readers."""

    def __init__(self, history: History, events: EventStream) -> None:
        self._history = history
        self._events = events
        self._link: Link | None = None
        self._why_transport = ""
        self._started: Event = Event()
        self._claimed = self._owned = False
        self._early: list[StartProgress] = []
        self._waiting: dict[str, list[asyncio.Future[Observation]]] = {}
        self._frames: dict[str, bytes] = {}
        self._doubt = Doubt()
        self._gaps: list[Gap] = []
        self._saver = Saver(history, events, self._on_fenced)
        self._running = asyncio.Event()
        self._running.set()
        self.ended: Ended | None = None

    def bind(self, link: Link, why_transport: str, started: SandboxStarted) -> None:
        """The link to submit on, before its `start`; `started` is the first event to store."""
        self._link = link
        self._saver.bind(link)
        self._started = started
        self._why_transport = why_transport

    def submit(self, action: Action, action_id: str | None) -> Submission:
        """Store and send an action, or find what became of it.

        Raises `FrameTooLarge` or `InvalidAction` before anything is stored, `StateUnusable` when it
        cannot be stored (it was not sent then), and `Fenced` when the sandbox is another server's.
        """
        if not isinstance(action, Action):
            text = f"{action!r:.100} is no action"
            raise InvalidAction(text, hint="Pass one, such as CmdRunAction(command=...)")
        answer: asyncio.Future[Observation] = asyncio.get_running_loop().create_future()
        if action_id is None:
            action_id = new_action_id()
        elif action_id not in self._frames and (final := self._history.final(action_id)):
            answer.set_result(final)
            return Submission(action_id, answer)
        if self.ended is not None and self.ended.fenced:
            raise self.ended.refusal or Fenced(self.ended.reason)
        if action_id not in self._frames:
            self._submit_new(action_id, action)
        self._waiting.setdefault(action_id, []).append(answer)
        if self.ended is not None:
            self._give_up(action_id, self.ended)
        elif not self._running.is_set() and self._link is not None:
            self._link.hurry()
        return Submission(action_id, answer)

    def submitted(self, action_id: str) -> Action | None:
        """The action that was given this id before, here or by a former server."""
        return self._history.action(action_id)

    def record(self, event: Event) -> None:
        """Store what the server itself saw."""
        self._history.store_event(event)
        self._saver.stored(0)

    def save(self) -> None:
        """Commit now, and acknowledge what was committed."""
        self._saver.save()

    def in_control(self) -> bool:
        """Whether no other server has taken the sandbox over; what was stored is committed then."""
        self.save()
        return self.ended is None

    def stopped(self) -> None:
        """The sandbox was stopped with its runtime: what has not ended, ends with it."""
        if self.ended is not None:
            return
        self.record(SandboxStopped(cause="closed", reason="the runtime was closed"))
        closed = RuntimeClosed("the runtime was closed before the answer came")
        for action_id in list(self._frames):
            self._end_by(closed, action_id)
        self.save()

    def close(self) -> None:
        """No answers will come any more. Twice is safe."""
        self._saver.close()
        for action_id in list(self._waiting):
            self._resolve(action_id, RuntimeClosed("the runtime was closed before the answer came"))
        self._events.end()

    # --- LinkUser

    def progress(self) -> dict[str, int]:
        """What the history has."""
        return dict(self._history.progress)

    def newest(self) -> StoredEvent | None:
        """The last event of the client that the history has."""
        return self._history.newest()

    async def running(self) -> None:
        """Return when nothing is known to keep the sandbox from running, or it is gone for good."""
        await self._running.wait()

    async def writable(self) -> None:
        """Return when the history takes events."""
        await self._saver.writable()

    def on_connected(self, welcome: WelcomeFrame, outage_s: float) -> None:
        """Send again what has no answer and cannot have been run.

        What the client had accepted, or may have accepted in a part of its history that is gone,
        is never sent again: its end is in the replay, or it is lost.
        """
        assert self._link is not None
        self._running.set()
        if not self._claimed:
            self._claim()
            self._gaps = [gap for gap in self._gaps if not self._is_filled(gap)]
        self._say_connected(welcome, outage_s)
        gaps, self._gaps = self._gaps, []
        for gap in gaps:
            self._store_gap(gap)
        lives = [span.epoch for span in welcome.epochs]
        self._history.know(lives)
        self._saver.owe(lives)
        self._send_again(self._doubt.meet(welcome, self._frames, gaps=bool(gaps)))

    def _say_connected(self, welcome: WelcomeFrame, outage_s: float) -> None:
        assert self._link is not None
        self.record(
            Connected(
                transport=self._link.transport.name,
                reason=self._why_transport,
                epoch=welcome.epoch,
                outage_s=outage_s,
            )
        )

    def _send_again(self, sendable: set[str]) -> None:
        assert self._link is not None
        for action_id in [i for i in self._frames if i in sendable]:
            self._link.send_text(self._frames[action_id])

    def on_caught_up(self) -> None:
        """The replay is over: what it did not end, and the client does not run, is lost.

        So is what it may have accepted in a part that is gone; nothing else was accepted.
        """
        sendable, unknown = self._doubt.decide()
        self._send_again(sendable)
        for action_id in [i for i in self._frames if i in unknown]:
            lost = ActionLost("the sandbox knows nothing of this action any more; it may have run")
            self._end_by(lost, action_id)

    def on_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> None:
        """Store, wake readers, answer who waits."""
        if frame.seq <= self._history.progress.get(frame.epoch, 0):
            return  # a former controller had stored it after this connection asked for it
        if isinstance(frame, ObservationFrame) and self._has_ended(frame.observation.action_id):
            frame, raw = second_end(frame)
        event = self._history.store_frame(frame, raw)
        self._saver.owe((frame.epoch,))
        if isinstance(event, HistoryGap):
            self._doubt.note_gap()
        elif isinstance(event, Observation) and event.action_id is not None:
            self._resolve(event.action_id, event)
        elif isinstance(event, ActionAccepted) and event.action_id in self._frames:
            self._doubt.accepted.add(event.action_id)
        self._saver.stored(len(raw))

    def _has_ended(self, action_id: str | None) -> bool:
        """What is waited for has not; of others, such as an operator's, the history knows."""
        if action_id is None or action_id in self._frames:
            return False
        return self._history.has_ended(action_id)

    def on_rejected(self, frame: RejectedFrame) -> None:
        """The submission has its end here: the client knows nothing of it."""
        if frame.id not in self._frames or frame.id in self._doubt.accepted:
            log.warning("the client rejected %r, which it was not asked", frame.id)
            return
        self._end_here(
            ErrorObservation(
                action_id=frame.id,
                code=frame.code,
                message=frame.message,
                hint=frame.hint,
                data=frame.data,
            )
        )

    def on_gap(self, gap: Gap) -> None:
        """Remember it for the welcome that follows."""
        self._gaps.append(gap)

    def on_disconnected(self, reason: str) -> None:
        """Say so; the link is at work."""
        self.record(ConnectionLost(reason=reason))

    def on_trouble(self, reason: str) -> None:
        """Say what is in the way."""
        self.record(ConnectionTrouble(reason=reason))

    def on_interrupted(self, ended: Ended) -> None:
        """Say so."""
        self.record(
            SandboxInterrupted(cause=ended.cause, reason=ended.reason, exit_code=ended.exit_code)
        )

    def on_down(self, ended: Ended) -> None:
        """Who waits need not wait for somebody to start it again: what was accepted has its end
        told then, and what was not is over.
        """
        self._running.clear()
        for action_id in list(self._frames):
            if action_id in self._doubt.accepted:
                self._tell_waiting(action_id, ended.gone)
            else:
                self._give_up(action_id, ended)
        self._events.wake()

    def on_ended(self, ended: Ended) -> None:
        """Nothing more will come: answer everybody. Twice is safe."""
        if self.ended is not None:
            return
        self.ended = ended
        self._running.set()
        if not ended.fenced:
            self.record(
                SandboxStopped(cause=ended.cause, reason=ended.reason, exit_code=ended.exit_code)
            )
        for action_id in list(self._frames):
            self._give_up(action_id, ended)
        self.save()
        self._events.end()

    # --- inside

    def own(self) -> None:
        """The history is of a sandbox that is being made: nobody else writes it."""
        self._history.claim()
        self._owned = True

    def progress_made(self, event: StartProgress) -> None:
        """Store it, as soon as this server may write the history."""
        if self._owned:
            self.record(event)
        else:
            self._early.append(changed(event, time=time.time()))

    def _claim(self) -> None:
        """This server is the controller now: take up what a former one left unanswered."""
        self._claimed = True
        if not self._owned:
            self.own()
        early, self._early = self._early, []
        for event in early:
            self.record(event)
        unfinished = self._history.unfinished()
        self._frames = {i: encode_submit(i, to_json(a)) for i, a in unfinished.items()}
        self._doubt.accepted = {i for i in unfinished if self._history.accepted(i)}
        self.record(self._started)

    def _is_filled(self, gap: Gap) -> bool:
        """Whether the controller before had those events, and stored them after we had looked."""
        stored = self._history.progress.get(gap.epoch, 0)
        if gap.last is None:
            return False
        return stored >= gap.last if gap.stored == gap.last else stored <= gap.stored

    def _store_gap(self, gap: Gap) -> None:
        """Say in the history what the history lacks."""
        self._history.skip(gap.epoch, gap.stored)
        self.record(HistoryGap(epoch=gap.epoch, first=gap.first, last=gap.last, reason=gap.reason))

    def _on_fenced(self, fenced: Fenced) -> None:
        self.on_ended(Ended(fenced.message, fenced=True))

    def _submit_new(self, action_id: str, action: Action) -> None:
        body = body_of(action)
        frame = encode_submit(action_id, body)
        if len(frame) > MAX_FRAME:
            raise FrameTooLarge(
                f"the action is {len(frame):,} bytes long, and {MAX_FRAME:,} is the most"
            )
        check(frame)
        self._make_safe(action_id, body)
        self._frames[action_id] = frame
        self._events.wake()
        if self._link is not None and self._link.connected:
            self._link.send_text(frame)
        else:
            self._doubt.unsent.add(action_id)

    def _make_safe(self, action_id: str, body: bytes) -> None:
        try:
            self._history.store_action(action_id, body)
        except OSError as problem:
            raise StateUnusable(
                f"the action cannot be stored, so it was not sent: {problem.strerror}",
                hint=f"Free some room in {self._history.path.parent}, and run it again",
            ) from problem

    def _resolve(self, action_id: str, outcome: Observation | TetherError) -> None:
        self._frames.pop(action_id, None)
        self._doubt.forget(action_id)
        self._tell_waiting(action_id, outcome)

    def _tell_waiting(self, action_id: str, outcome: Observation | TetherError) -> None:
        for answer in self._waiting.pop(action_id, ()):
            if answer.done():
                continue  # its caller was cancelled
            if isinstance(outcome, TetherError):
                answer.set_exception(outcome)
                answer.exception()  # nobody need be waiting any more
            else:
                answer.set_result(outcome)

    def _end_here(self, observation: ErrorObservation) -> None:
        stored = self._history.store_event(observation)
        self._saver.stored(0)
        assert isinstance(stored, Observation)
        self._resolve(observation.action_id or "", stored)

    def _end_by(self, error: TetherError, action_id: str) -> None:
        self._end_here(error_observation(error, action_id))

    def _give_up(self, action_id: str, ended: Ended) -> None:
        if ended.fenced:
            self._resolve(action_id, ended.refusal or Fenced(ended.reason))
            return
        self._end_by(ended.gone, action_id)


def new_action_id() -> str:
    """An id no action has."""
    return secrets.token_hex(12)
