"""The rules of one event connection as the runtime client follows them. No I/O, no clock.

Frames go in through `receive`; what to do comes out as a list of steps, in order. The shell
around it carries them out: sends, closes, starts actions, trims the journal.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import auth
from .actions import Action
from .errors import (
    FrameTooLarge,
    ProtocolError,
    TetherError,
    Unauthorized,
    UnexpectedFrame,
    VersionMismatch,
)
from .frames import (
    AckFrame,
    AttachFrame,
    ChallengeFrame,
    ErrorFrame,
    HelloFrame,
    RejectedFrame,
    RejectedSubmission,
    Role,
    StoredEvent,
    SubmitFrame,
    decode_from_server,
    encode,
)
from .limits import MAX_HANDSHAKE_FRAME, MAX_TEXT, PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text message."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the error was sent before."""

    error: ProtocolError


@dataclass(frozen=True, slots=True)
class Attach:
    """The peer is authentic and asks for a role; answer with a welcome or refuse."""

    role: Role
    takeover: bool
    have: dict[str, int]
    newest: StoredEvent | None = None


@dataclass(frozen=True, slots=True)
class Submit:
    """The peer submits an action; the ledger says whether it is new."""

    action_id: str
    action: Action


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Everything up to `seq` of `epoch` is stored by the controller."""

    epoch: str
    seq: int


Step = Send | Close | Attach | Submit | Acknowledge


class SandboxSide:
    """One connection, from hello to close. `role` is None until it is attached."""

    def __init__(self, secret: str, nonce: str) -> None:
        self._secret = secret
        self._nonce = nonce
        self._server_nonce: str | None = None
        self._awaiting_welcome = False
        self.role: Role | None = None
        self.closed = False

    def receive(self, text: bytes) -> list[Step]:
        """Take one text message. Never raises on anything a peer can send."""
        if self.closed:
            return []
        if self.role is None and len(text) > MAX_HANDSHAKE_FRAME:
            return self.fail(too_large(len(text), MAX_HANDSHAKE_FRAME))
        try:
            return self._on_frame(text)
        except RejectedSubmission as rejected:
            if self.role is None:
                return self.fail(UnexpectedFrame("attach before submitting actions"))
            return [reject(rejected.action_id, rejected.error)]
        except ProtocolError as error:
            return self.fail(error)

    def admit(self, role: Role) -> None:
        """The shell has granted what `Attach` asked for; frames of that role are taken now."""
        self.role = role
        self._awaiting_welcome = False

    def fail(self, error: ProtocolError) -> list[Step]:
        """Refuse the connection for this reason: the steps that say so and close."""
        self.closed = True
        message, hint = error.message[:MAX_TEXT], error.hint[:MAX_TEXT]
        frame = ErrorFrame(code=error.code, message=message, hint=hint)
        return [Send(encode(frame)), Close(error)]

    def _on_frame(self, text: bytes) -> list[Step]:
        frame = decode_from_server(text)
        match frame:
            case SubmitFrame() if self.role is not None:
                return [Submit(frame.id, frame.action)]
            case AckFrame() if self.role == "controller":
                return [Acknowledge(frame.epoch, frame.seq)]
            case AckFrame() if self.role == "operator":
                raise UnexpectedFrame("only the controller acknowledges events")
            case HelloFrame() if self._server_nonce is None:
                return self._on_hello(frame)
            case AttachFrame() if self._may_attach:
                return self._on_attach(frame)
        raise UnexpectedFrame(f"a {frame.type} frame has no place here")

    @property
    def _may_attach(self) -> bool:
        return self._server_nonce is not None and self.role is None and not self._awaiting_welcome

    def _on_hello(self, frame: HelloFrame) -> list[Step]:
        if frame.version != PROTOCOL_VERSION:
            raise version_mismatch(ours=PROTOCOL_VERSION, theirs=frame.version)
        self._server_nonce = frame.nonce
        proof = auth.client_proof(self._secret, frame.nonce, self._nonce)
        answer = ChallengeFrame(version=PROTOCOL_VERSION, nonce=self._nonce, proof=proof)
        return [Send(encode(answer))]

    def _on_attach(self, frame: AttachFrame) -> list[Step]:
        assert self._server_nonce is not None
        expected = auth.server_proof(self._secret, self._server_nonce, self._nonce)
        if not auth.matches(frame.proof, expected):
            raise Unauthorized("the server's proof is wrong")
        self._awaiting_welcome = True
        return [Attach(frame.role, frame.takeover, frame.have, frame.newest)]


def reject(action_id: str, error: TetherError) -> Send:
    """The answer to a submission that was not accepted."""
    return Send(
        encode(
            RejectedFrame(
                id=action_id,
                code=error.code,
                message=error.message[:MAX_TEXT],
                hint=error.hint[:MAX_TEXT],
                data=error.data,
            )
        )
    )


def too_large(size: int, limit: int) -> FrameTooLarge:
    """The error for a frame that is too long for where the connection stands."""
    return FrameTooLarge(f"a frame of {size:,} bytes, and {limit:,} is the most here")


def version_mismatch(*, ours: int, theirs: int) -> VersionMismatch:
    """The error both ends raise when their versions differ."""
    return VersionMismatch(f"this end speaks protocol version {ours}, the other {theirs}")
