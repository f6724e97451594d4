"""`OperatorRuntime`: beside whoever controls a sandbox. It submits, watches, and owns nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tether_runtime_client.protocol.errors import ActionLost, RuntimeClosed, SandboxNotFound
from tether_runtime_client.protocol.frames import EventFrame, ObservationFrame, WelcomeFrame
from tether_runtime_client.protocol.observations import Observation
from tether_runtime_client.protocol.server_side import Gap

from .backends import Progress, Sandbox, silent
from .event_stream import EventStream
from .history import History
from .link import Link
from .runtime import EventStreamRuntime
from .submissions import Submissions
from .transports import Attempt, Transport, diagnosis, try_all


class OperatorRuntime(EventStreamRuntime):
    """A second way into a running sandbox, for tools: `tether cp`, `tether shell --attach`.

    Made by `beside`; otherwise used like any runtime. It disturbs no other server, acknowledges
    nothing, and leaving it leaves the sandbox. `events` are only those of its own actions. An
    action whose fate an outage hides is reported as lost, never run again.
    """

    @classmethod
    def beside(cls, name: str, *, progress: Progress = silent) -> OperatorRuntime:
        """An operator of the sandbox of that name; raises `SandboxNotFound`."""
        runtime = cls.attach(name, progress=progress)
        assert isinstance(runtime, OperatorRuntime)
        return runtime

    async def try_transports(self, timeout_s: float) -> list[tuple[Attempt, str]]:
        """Each transport that the sandbox was set up for, the best first, all at once.

        Whether the client proves itself there within `timeout_s` seconds and, where it does not
        and that can be told, where the way is broken.
        """
        if self._sandbox is None:
            raise RuntimeClosed("the runtime was not started: use `async with`")
        secret = self._present_secret()
        tried = await try_all(self._sandbox.transports(), secret, timeout_s)
        return [(attempt, await diagnosis(attempt, secret)) for attempt in tried]

    async def close(self, *, keep: bool | None = None) -> None:
        """Let go of the sandbox, whatever `keep` says. Twice is safe."""
        history = self._history
        try:
            await super().close(keep=True)
        finally:
            if history is not None:
                shutil.rmtree(history.path.parent, ignore_errors=True)

    async def _start_new(self) -> None:
        raise SandboxNotFound("an operator attaches to a sandbox: use OperatorRuntime.beside(name)")

    def _open_history(self, folder: Path) -> None:
        """A spool for the own actions' events, which goes with this object."""
        spool = Path(tempfile.mkdtemp(prefix="tether-operator-"))
        self._history = History(spool / "history.sqlite3")
        self._history.claim()
        for epoch, seq in _stored(folder).items():
            self._history.skip(epoch, seq)
        self._history.commit()
        self._events = EventStream(self._history)
        self._submissions = _OwnActions(self._history, self._events, folder)

    @property
    def _asked_for(self) -> str:
        """What the controller was told to use may be taken by it, as an address to dial is."""
        return "auto"

    def _make_link(self, sandbox: Sandbox, transport: Transport) -> Link:
        assert self._submissions is not None
        return _OperatorLink(
            transport,
            self._present_secret,
            self._submissions,
            sandbox.ended,
            role="operator",
            on_silent=self._cut_bulk,
        )

    async def _take_control(self, sandbox: Sandbox, *, attached: bool) -> None:
        """It is the controller's."""

    def _save_record(self, sandbox: Sandbox) -> None:
        """The record says who controls the sandbox; that has not changed."""


class _OperatorLink(Link):
    """Acknowledging is the controller's part."""

    def acknowledge(self, epoch: str, seq: int) -> None:
        """Do nothing."""


class _OwnActions(Submissions):
    """Stores the events of what was submitted here, and passes over all others.

    The client forgets an action once the controller has acknowledged its end. Sending it again
    after an outage could then run it again, so that is not done: once the replay is over, what it
    did not end is looked up in the controller's history, which has all that was acknowledged.
    """

    def __init__(self, history: History, events: EventStream, folder: Path) -> None:
        super().__init__(history, events)
        self._folder = folder
        self._missing: set[str] = set()
        self._was_connected = False

    def on_connected(self, welcome: WelcomeFrame, outage_s: float) -> None:
        """Send what was certainly not sent before; what else does not run is looked up later."""
        if not self._was_connected:
            self._was_connected = True
            super().on_connected(welcome, outage_s)
            return
        self._running.set()
        self._say_connected(welcome, outage_s)
        unsent, self._doubt.unsent = self._doubt.unsent & set(self._frames), set()
        self._send_again(unsent)
        self._missing = set(self._frames) - set(welcome.running) - unsent

    def on_caught_up(self) -> None:
        """The replay is over: look up what it did not end."""
        missing, self._missing = self._missing, set()
        for action_id in missing & set(self._frames):
            self._look_up(action_id)

    def on_frame(self, frame: EventFrame | ObservationFrame, raw: bytes) -> None:
        """Store it if it is about an action of ours."""
        event = frame.observation if isinstance(frame, ObservationFrame) else frame.event
        if event.action_id in self._frames:
            super().on_frame(frame, raw)
        else:
            self._history.skip(frame.epoch, frame.seq)

    def on_gap(self, gap: Gap) -> None:
        """The controller has stored and acknowledged those."""
        self._history.skip(gap.epoch, gap.stored)

    def _claim(self) -> None:
        """The spool is this operator's from its making, and nobody has left anything in it."""
        self._claimed = True
        self.record(self._started)

    def _look_up(self, action_id: str) -> None:
        final = _final(self._folder, action_id)
        if final is not None:
            self._history.store_event(final)
            self._saver.stored(0)
            self._resolve(action_id, final)
            return
        lost = ActionLost("the connection was cut before the sandbox confirmed the action")
        self._end_by(lost, action_id)


def _controllers_history(folder: Path) -> History | None:
    path = folder / "history.sqlite3"
    return History(path) if path.exists() else None


def _stored(folder: Path) -> dict[str, int]:
    """What the controller's history has, so that no more than the rest is replayed."""
    history = _controllers_history(folder)
    if history is None:
        return {}
    try:
        return dict(history.progress)
    finally:
        history.close()


def _final(folder: Path, action_id: str) -> Observation | None:
    history = _controllers_history(folder)
    if history is None:
        return None
    try:
        return history.final(action_id)
    finally:
        history.close()
