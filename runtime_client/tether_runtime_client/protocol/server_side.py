"""The rules of one event connection as the server follows them. No I/O, no clock.

The mirror of `sandbox_side`: everything that comes in is hostile until proved otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import auth
from .errors import MalformedFrame, ProtocolError, Unauthorized, UnexpectedFrame, error_from_code
from .frames import (
    AttachFrame,
    ChallengeFrame,
    ErrorFrame,
    EventFrame,
    HelloFrame,
    ObservationFrame,
    RejectedFrame,
    Role,
    WelcomeFrame,
    decode_from_client,
    encode,
)
from .limits import PROTOCOL_VERSION
from .sandbox_side import version_mismatch


@dataclass(frozen=True, slots=True)
class Gap:
    """Events `first`..`last` of `epoch` were trimmed before this server stored them."""

    epoch: str
    first: int
    last: int


Incoming = WelcomeFrame | EventFrame | ObservationFrame | RejectedFrame | Gap


class ServerSide:
    """One connection, from hello to close. `progress` is per epoch the last event stored."""

    def __init__(
        self,
        secret: str,
        nonce: str,
        progress: dict[str, int],
        *,
        role: Role = "controller",
        takeover: bool = False,
    ) -> None:
        self._secret = secret
        self._nonce = nonce
        self._role: Role = role
        self._takeover = takeover
        self._challenged = False
        self._expected: dict[str, int] = {}
        self.progress = progress
        self.welcome: WelcomeFrame | None = None

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
        frame, a wrong proof, another version, or anything that is not of the protocol.
        """
        frame = decode_from_client(text)
        match frame:
            case EventFrame() | ObservationFrame() if self.welcome is not None:
                return self._on_numbered(frame), None
            case RejectedFrame() if self.welcome is not None:
                return [frame], None
            case ChallengeFrame() if not self._challenged:
                return [], self._on_challenge(frame)
            case WelcomeFrame() if self._challenged and self.welcome is None:
                return self._on_welcome(frame), None
            case ErrorFrame():
                raise _refusal(frame)
        raise UnexpectedFrame(f"the client sent a {frame.type} frame out of order")

    def _on_challenge(self, frame: ChallengeFrame) -> bytes:
        if frame.version != PROTOCOL_VERSION:
            raise version_mismatch(ours=PROTOCOL_VERSION, theirs=frame.version)
        expected = auth.client_proof(self._secret, self._nonce, frame.nonce)
        if not auth.matches(frame.proof, expected):
            raise Unauthorized("what answers is not this sandbox's client: its proof is wrong")
        self._challenged = True
        proof = auth.server_proof(self._secret, self._nonce, frame.nonce)
        have = dict(self.progress)
        return encode(AttachFrame(proof=proof, role=self._role, takeover=self._takeover, have=have))

    def _on_welcome(self, frame: WelcomeFrame) -> list[Incoming]:
        self.welcome = frame
        incoming: list[Incoming] = [frame]
        for span in frame.epochs:
            stored = self.progress.get(span.epoch, 0)
            if span.first > stored + 1 and span.last > stored:
                incoming.append(Gap(span.epoch, stored + 1, span.first - 1))
                stored = span.first - 1
            self._expected[span.epoch] = stored + 1
        return incoming

    def _on_numbered(self, frame: EventFrame | ObservationFrame) -> list[Incoming]:
        expected = self._expected.get(frame.epoch)
        if expected is None:
            raise MalformedFrame("the client sent an event of an epoch it did not announce")
        if frame.seq < expected:
            return []
        if frame.seq > expected:
            raise MalformedFrame(
                f"event {expected} of epoch {frame.epoch} is missing: {frame.seq} came instead"
            )
        self._expected[frame.epoch] = expected + 1
        return [frame]


def _refusal(frame: ErrorFrame) -> ProtocolError:
    error = error_from_code(frame.code, frame.message, frame.hint)
    return error if isinstance(error, ProtocolError) else ProtocolError(frame.message)
