"""The rules of one event connection as the server follows them. No I/O, no clock.

The mirror of `sandbox_side`: everything that comes in is hostile until proved otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import auth
from .errors import (
    MalformedFrame,
    ProtocolError,
    Unauthorized,
    UnexpectedFrame,
    VersionMismatch,
    error_from_code,
)
from .events import HistoryGap
from .frames import (
    AttachFrame,
    ChallengeFrame,
    EpochRange,
    ErrorFrame,
    EventFrame,
    HelloFrame,
    ObservationFrame,
    RejectedFrame,
    Role,
    RotatedFrame,
    RotatingFrame,
    StoredEvent,
    Unreadable,
    WelcomeFrame,
    decode_from_client,
    encode,
    read_number,
)
from .limits import MAX_EPOCHS, MAX_HANDSHAKE_FRAME, PROTOCOL_VERSION
from .observations import ErrorObservation
from .sandbox_side import too_large, version_mismatch


@dataclass(frozen=True, slots=True)
class Gap:
    """Events `first`..`last` of `epoch` cannot be had, and why; `stored` is its progress now.

    Without `last` nobody knows how many there were, if any.
    """

    epoch: str
    first: int
    last: int | None
    reason: str
    stored: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """What stands in the place of an event that cannot be read: a frame, and its JSON."""

    frame: EventFrame | ObservationFrame
    raw: bytes


Incoming = (
    WelcomeFrame
    | EventFrame
    | ObservationFrame
    | RejectedFrame
    | RotatingFrame
    | RotatedFrame
    | Gap
    | Replaced
)


class ServerSide:
    """One connection, from hello to close.

    `progress` is per epoch the last event stored, `newest` the last of them all.
    """

    def __init__(
        self,
        secret: str,
        nonce: str,
        progress: dict[str, int],
        *,
        role: Role = "controller",
        takeover: bool = False,
        newest: StoredEvent | None = None,
    ) -> None:
        self._secret = secret
        self._nonce = nonce
        self._role: Role = role
        self._takeover = takeover
        self._newest = newest
        self._challenged = False
        self._expected: dict[str, int] = {}
        self.progress = progress
        self.welcome: WelcomeFrame | None = None
        self.failed = False

    @property
    def caught_up(self) -> bool:
        """Whether everything the welcome announced has come."""
        if self.welcome is None:
            return False
        return all(self._expected[span.epoch] > span.last for span in self.welcome.epochs)

    def hello(self) -> bytes:
        """The first message, to be sent as soon as the websocket is open."""
        return encode(HelloFrame(version=PROTOCOL_VERSION, nonce=self._nonce))

    def receive(self, text: bytes) -> tuple[list[Incoming], bytes | None]:
        """Take one message: what it means, and what to send back.

        Raises a `ProtocolError` when the connection is to be given up: the peer's own error
        frame, a wrong proof, another version, or anything that is not of the protocol. What
        comes after that is not looked at.
        """
        if self.failed:
            return [], None
        try:
            return self._on_text(text)
        except ProtocolError:
            self.failed = True
            raise

    def _on_text(self, text: bytes) -> tuple[list[Incoming], bytes | None]:
        if not self._challenged and len(text) > MAX_HANDSHAKE_FRAME:
            raise too_large(len(text), MAX_HANDSHAKE_FRAME)
        try:
            frame = decode_from_client(text)
        except MalformedFrame as problem:
            return self._on_unreadable(text, problem), None
        match frame:
            case EventFrame() | ObservationFrame() if self.welcome is not None:
                return self._on_numbered(frame.epoch, frame.seq, frame), None
            case RejectedFrame() | RotatingFrame() | RotatedFrame() if self.welcome is not None:
                return [frame], None
            case ChallengeFrame() if not self._challenged:
                return [], self._on_challenge(frame)
            case WelcomeFrame() if self._challenged and self.welcome is None:
                return self._on_welcome(frame), None
            case ErrorFrame():
                raise self._refusal(frame)
        raise UnexpectedFrame(f"the client sent a {frame.type} frame out of order")

    def _on_challenge(self, frame: ChallengeFrame) -> bytes:
        if frame.version != PROTOCOL_VERSION:
            raise version_mismatch(ours=PROTOCOL_VERSION, theirs=frame.version)
        expected = auth.client_proof(self._secret, self._nonce, frame.nonce)
        by_current = auth.matches(frame.proof, expected)
        by_next = auth.matches(frame.next_proof or "", expected)
        if not (by_current or by_next):
            raise Unauthorized("what answers is not this sandbox's client: its proof is wrong")
        self._challenged = True
        proof = auth.server_proof(self._secret, self._nonce, frame.nonce)
        return encode(
            AttachFrame(
                proof=proof,
                role=self._role,
                takeover=self._takeover,
                have=dict(list(self.progress.items())[-MAX_EPOCHS:]),
                newest=self._newest,
            )
        )

    def _on_welcome(self, frame: WelcomeFrame) -> list[Incoming]:
        """The gaps come first: whoever takes the welcome knows what the history lacks."""
        self.welcome = frame
        incoming: list[Incoming] = [*self._forgotten(frame)]
        for span in frame.epochs:
            stored = self.progress.get(span.epoch, 0)
            gap = _gap(span, stored, live=span.epoch == frame.epoch)
            if gap is not None:
                incoming.append(gap)
                stored = gap.stored
            self._expected[span.epoch] = stored + 1
        return [*incoming, frame]

    def _forgotten(self, frame: WelcomeFrame) -> list[Gap]:
        """A client never loses its last life but with its journal."""
        newest = next(reversed(self.progress), None)
        if newest is None or any(span.epoch == newest for span in frame.epochs):
            return []
        stored = self.progress[newest]
        reason = "the client knows nothing of them any more: its journal was removed or damaged"
        return [Gap(newest, stored + 1, None, reason, stored)]

    def _on_numbered(self, epoch: str, seq: int, item: Incoming) -> list[Incoming]:
        expected = self._expected.get(epoch)
        if expected is None:
            raise MalformedFrame("the client sent an event of an epoch it did not announce")
        if seq < expected:
            return []
        if seq > expected:
            raise MalformedFrame(
                f"event {expected} of epoch {epoch} is missing: {seq} came instead"
            )
        self._expected[epoch] = expected + 1
        return [item]

    def _on_unreadable(self, text: bytes, problem: MalformedFrame) -> list[Incoming]:
        """One event that cannot be read costs that event, not the connection for ever."""
        found = read_number(text) if self.welcome is not None else None
        if found is None:
            raise problem
        frame = _stand_in(found, problem.message)
        return self._on_numbered(found.epoch, found.seq, Replaced(frame, encode(frame)))

    def _refusal(self, frame: ErrorFrame) -> ProtocolError:
        """The error a client gave. Whoever did not show that it is the client decides nothing."""
        error = error_from_code(frame.code, frame.message, frame.hint)
        if not isinstance(error, ProtocolError):
            return ProtocolError(frame.message)
        if not self._challenged and not isinstance(error, VersionMismatch):
            return Unauthorized(f"what answers did not prove itself, and said: {frame.message}")
        return error


def _gap(span: EpochRange, stored: int, *, live: bool) -> Gap | None:
    if span.first > stored + 1 and span.last > stored:
        reason = "another server had acknowledged them, or this history was lost"
        return Gap(span.epoch, stored + 1, span.first - 1, reason, span.first - 1)
    if live and span.last < stored:
        reason = "the sandbox was set back: what it numbered since then replaces these events"
        return Gap(span.epoch, span.last + 1, stored, reason, span.last)
    if span.last < stored:
        reason = "the client's journal has fewer events than it told: it was cut short"
        return Gap(span.epoch, stored + 1, None, reason, stored)
    return None


def _stand_in(found: Unreadable, reason: str) -> EventFrame | ObservationFrame:
    """An error for the action whose answer cannot be read, a gap for any other event."""
    if found.is_final:
        error = MalformedFrame(f"the action ended, and its observation is lost: {reason}")
        observation = ErrorObservation(
            action_id=found.action_id, code=error.code, message=error.message
        )
        return ObservationFrame(epoch=found.epoch, seq=found.seq, observation=observation)
    gap = HistoryGap(epoch=found.epoch, first=found.seq, last=found.seq, reason=reason)
    return EventFrame(epoch=found.epoch, seq=found.seq, event=gap)
