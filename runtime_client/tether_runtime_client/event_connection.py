"""One attached event connection: carries out what the protocol's rules say, and sends events.

Events go out as they are journalled. When the peer is slow, sending stops and goes on from the
journal once the socket has drained: a slow reader costs disk, never memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .control import Control
from .dispatcher import Dispatcher
from .journal import Position, Trimmed
from .kept_secret import KeptSecret
from .protocol import auth
from .protocol.channel import Channel
from .protocol.errors import (
    ProtocolError,
    SecretChanged,
    SecretExpired,
    TetherError,
    Unauthorized,
)
from .protocol.frames import WelcomeFrame, encode
from .protocol.limits import HANDSHAKE_TIMEOUT_S
from .protocol.sandbox_side import (
    Acknowledge,
    Attach,
    BeginRotation,
    Close,
    FinishRotation,
    SandboxSide,
    Send,
    Step,
    Submit,
    reject,
)
from .recorder import Recorder

REPLAY_BATCH = 1024 * 1024
POLICY_VIOLATION = 1008

SILENCE_LIMIT_S = 60.0
"""A server pings a quiet connection well before that; one that says nothing for so long is gone,
though no network told: its lease begins to run.
"""

log = logging.getLogger(__name__)


class EventConnection:
    """A `Receiver` for `/events`. Owned by the endpoint; ends when its channel closes."""

    def __init__(
        self, secret: KeptSecret, recorder: Recorder, dispatcher: Dispatcher, control: Control
    ) -> None:
        self._secret = secret
        self._rules = SandboxSide(secret, auth.new_nonce())
        self._recorder = recorder
        self._dispatcher = dispatcher
        self._control = control
        self._channel: Channel | None = None
        self._behind: Position | None = None
        self._have: dict[str, int] = {}
        self._sets_pace = False
        self._timer: asyncio.TimerHandle | None = None
        self._on_sign_of_life: Callable[[], None] | None = None

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        """Start the clock on the handshake."""
        self._channel = channel
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_TIMEOUT_S, self._too_slow)

    def on_text(self, text: bytes) -> None:
        """Feed the rules and carry out their steps."""
        for step in self._rules.receive(text):
            self._carry_out(step)

    def on_binary(self, data: bytes) -> None:
        """There are none on this connection."""
        self.refuse(ProtocolError("the event connection carries text messages only"))

    def on_pong(self) -> None:
        """The peer is there. Only this shows it: text may have waited here for long."""
        callback, self._on_sign_of_life = self._on_sign_of_life, None
        if callback is not None:
            callback()

    def on_writable(self) -> None:
        """Go on from the journal where sending stopped."""
        if self._sets_pace:
            self._recorder.pace.progress()
        self._catch_up()

    def on_close(self, reason: str) -> None:
        """The connection is gone; what it submitted goes on."""
        self._leave()
        log.info("event connection closed: %s", reason)

    # --- Follower

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        """Send a new frame, or remember where sending stopped."""
        if self._channel is None:
            return
        if self._behind is None and not self._channel.congested:
            self._channel.send_text(frame, lazy=lazy)
            return
        self._behind = self._behind or before
        if self._sets_pace:
            self._recorder.pace.fall_behind()

    def on_set_back(self) -> None:
        """End the connection: the next welcome tells the new numbers."""
        self.refuse(ProtocolError("the sandbox was set back and numbers its events anew"))

    # --- what the control calls

    def admit(self, attach: Attach, fence: int) -> None:
        """Welcome the peer in its role, replay what it lacks, then follow."""
        assert self._channel is not None
        self._rules.admit(attach.role)
        self._channel.trust()
        self._watch()
        recorder = self._recorder
        self._sets_pace = attach.role == "controller"
        if self._sets_pace:
            recorder.compare(attach.have, attach.newest)
        ledger = recorder.ledger
        welcome = WelcomeFrame(
            epoch=ledger.epoch, fence=fence, epochs=recorder.ranges(), running=ledger.running
        )
        self._channel.send_text(encode(welcome))
        acknowledged = max(attach.have.get(ledger.epoch, 0), ledger.acknowledged)
        self._have = {**attach.have, ledger.epoch: acknowledged}
        self._behind = recorder.journal.start()
        recorder.follow(self)
        self._catch_up()

    def refuse(self, error: ProtocolError) -> None:
        """Say why, and close."""
        for step in self._rules.fail(error):
            self._carry_out(step)

    def probe(self, on_sign_of_life: Callable[[], None]) -> None:
        """Ask the peer whether it is there; `on_sign_of_life` is called once if it is."""
        self._on_sign_of_life = on_sign_of_life
        if self._channel is not None:
            self._channel.ping()

    # --- inside

    def _carry_out(self, step: Step) -> None:
        assert self._channel is not None
        match step:
            case Send():
                self._channel.send_text(step.text)
            case Submit():
                self._submit(step)
            case Acknowledge():
                self._recorder.acknowledge(step.epoch, step.seq)
            case Attach():
                self._attach(step)
            case BeginRotation():
                self._secret.begin(step.secret)
            case FinishRotation():
                self._secret.finish()
                self._control.end_others(self, SecretChanged("the sandbox's secret was changed"))
            case Close():
                self._leave()
                self._channel.close(step.error.code, POLICY_VIOLATION)

    def _attach(self, step: Attach) -> None:
        """Only who knows the secret is told that its time is over."""
        if self._secret.expired:
            self.refuse(SecretExpired("the secret of this sandbox has expired"))
        else:
            self._control.attach(self, step)

    def _submit(self, step: Submit) -> None:
        assert self._channel is not None
        try:
            self._dispatcher.submit(step.action_id, step.action)
        except TetherError as error:
            self._channel.send_text(reject(step.action_id, error).text)

    def _catch_up(self) -> None:
        """Send what the journal has, a batch a turn of the loop: others are served in between."""
        channel = self._channel
        if self._behind is None or channel is None or channel.congested or not channel.is_open:
            return
        try:
            frames, behind = self._recorder.journal.read(self._behind, REPLAY_BATCH, self._have)
        except Trimmed:
            text = "this reader fell behind what the controller has acknowledged: attach again"
            self.refuse(ProtocolError(text))
            return
        for frame in frames:
            channel.send_text(frame, lazy=True)
        self._behind = behind if frames else None
        if self._behind is None and self._sets_pace:
            self._recorder.pace.catch_up()
        if frames:
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _watch(self) -> None:
        """Come back when the peer may have been silent for too long."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        self._cancel_timer()
        silent = loop.time() - self._channel.heard
        if silent >= SILENCE_LIMIT_S:
            self._channel.abort(f"the server was silent for {silent:.0f} s")
        else:
            self._timer = loop.call_later(SILENCE_LIMIT_S - silent, self._watch)

    def _too_slow(self) -> None:
        self.refuse(Unauthorized(f"not attached within {HANDSHAKE_TIMEOUT_S:.0f} s"))

    def _leave(self) -> None:
        """Follow no more and hold no role, whenever the peer closes its end."""
        self._cancel_timer()
        self._behind = None
        if self._sets_pace:
            self._sets_pace = False
            self._recorder.pace.catch_up()
        self._recorder.unfollow(self)
        self._control.detach(self)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
