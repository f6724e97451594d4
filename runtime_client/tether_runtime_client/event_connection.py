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
from .journal import Position
from .protocol import auth
from .protocol.channel import Channel
from .protocol.errors import ProtocolError, TetherError, Unauthorized
from .protocol.frames import WelcomeFrame, encode
from .protocol.limits import HANDSHAKE_TIMEOUT_S
from .protocol.sandbox_side import (
    Acknowledge,
    Attach,
    Close,
    SandboxSide,
    Send,
    Step,
    Submit,
    reject,
)
from .recorder import Recorder

REPLAY_BATCH = 1024 * 1024
POLICY_VIOLATION = 1008

log = logging.getLogger(__name__)


class EventConnection:
    """A `Receiver` for `/events`. Owned by the endpoint; ends when its channel closes."""

    def __init__(
        self, secret: str, recorder: Recorder, dispatcher: Dispatcher, control: Control
    ) -> None:
        self._rules = SandboxSide(secret, auth.new_nonce())
        self._recorder = recorder
        self._dispatcher = dispatcher
        self._control = control
        self._channel: Channel | None = None
        self._behind: Position | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._on_sign_of_life: Callable[[], None] | None = None

    # --- Receiver

    def on_open(self, channel: Channel, path: str) -> None:
        """Start the clock on the handshake."""
        self._channel = channel
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_TIMEOUT_S, self._too_slow)

    def on_text(self, text: bytes) -> None:
        """Feed the rules and carry out their steps."""
        self._alive()
        for step in self._rules.receive(text):
            self._carry_out(step)

    def on_binary(self, data: bytes) -> None:
        """There are none on this connection."""
        self.refuse(ProtocolError("the event connection carries text messages only"))

    def on_pong(self) -> None:
        """The peer is there."""
        self._alive()

    def on_writable(self) -> None:
        """Go on from the journal where sending stopped."""
        self._catch_up()

    def on_close(self, reason: str) -> None:
        """The connection is gone; what it submitted goes on."""
        self._cancel_deadline()
        self._recorder.unfollow(self)
        self._control.detach(self)
        log.info("event connection closed: %s", reason)

    # --- Follower

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        """Send a new frame, or remember where sending stopped."""
        if self._behind is not None or self._channel is None:
            return
        if self._channel.congested:
            self._behind = before
        else:
            self._channel.send_text(frame, lazy=lazy)

    # --- what the control calls

    def admit(self, attach: Attach, fence: int) -> None:
        """Welcome the peer in its role, replay what it lacks, then follow."""
        assert self._channel is not None
        self._cancel_deadline()
        self._rules.admit(attach.role)
        self._channel.trust()
        ranges = self._recorder.ranges()
        running = self._recorder.ledger.running
        epoch = self._recorder.epoch
        welcome = WelcomeFrame(epoch=epoch, fence=fence, epochs=ranges, running=running)
        self._channel.send_text(encode(welcome))
        self._replay(attach.have)
        self._recorder.follow(self)

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
                self._control.attach(self, step)
            case Close():
                self._channel.close(step.error.code, POLICY_VIOLATION)

    def _submit(self, step: Submit) -> None:
        assert self._channel is not None
        try:
            self._dispatcher.submit(step.action_id, step.action)
        except TetherError as error:
            self._channel.send_text(reject(step.action_id, error).text)

    def _replay(self, have: dict[str, int]) -> None:
        assert self._channel is not None
        for span in self._recorder.recovered.epochs.values():
            for frame in span.after(have.get(span.epoch, 0)):
                self._channel.send_text(frame)
        ledger = self._recorder.ledger
        first = max(have.get(ledger.epoch, 0), ledger.acknowledged) + 1
        self._behind = self._recorder.journal.seek(first)
        self._catch_up()

    def _catch_up(self) -> None:
        journal = self._recorder.journal
        while self._behind is not None and self._channel is not None:
            if self._channel.congested or not self._channel.is_open:
                return
            frames, behind = journal.read(self._behind, REPLAY_BATCH)
            for frame in frames:
                self._channel.send_text(frame)
            self._behind = behind if frames else None

    def _alive(self) -> None:
        callback, self._on_sign_of_life = self._on_sign_of_life, None
        if callback is not None:
            callback()

    def _too_slow(self) -> None:
        self.refuse(Unauthorized(f"not attached within {HANDSHAKE_TIMEOUT_S:.0f} s"))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
