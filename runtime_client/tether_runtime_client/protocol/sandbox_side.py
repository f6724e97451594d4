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
    ConfirmFrame,
    ErrorFrame,
    HelloFrame,
    RejectedFrame,
    RejectedSubmission,
    Role,
    RotatedFrame,
    RotateFrame,
    RotatingFrame,
    StoredEvent,
    SubmitFrame,
    decode_from_server,
    encode,
)
from .limits import MAX_HANDSHAKE_FRAME, MAX_TEXT, PROTOCOL_VERSION
from .message import changed
from .rotation import Agreed, Half, Secrets


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


@dataclass(frozen=True, slots=True)
class BeginRotation:
    """Accept this secret as well; what follows tells the peer so, and must not be sent before."""

    secret: str


@dataclass(frozen=True, slots=True)
class FinishRotation:
    """The peer knows the next secret: accept that one alone, and end who came by the former."""


Step = Send | Close | Attach | Submit | Acknowledge | BeginRotation | FinishRotation


class SandboxSide:
    """One connection, from hello to close. `role` is None until it is attached."""

    def __init__(self, secrets: Secrets, nonce: str) -> None:
        self._secrets = secrets
        self._nonce = nonce
        self._agreed: Agreed | None = None
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
            case RotateFrame() if self.role is not None:
                return self._on_rotate(frame)
            case ConfirmFrame() if self._agreed is not None:
                return self._on_confirm(frame, self._agreed)
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
        proof = auth.client_proof(self._secrets.current, frame.nonce, self._nonce)
        answer = ChallengeFrame(version=PROTOCOL_VERSION, nonce=self._nonce, proof=proof)
        if (following := self._secrets.next) is not None:
            proof = auth.client_proof(following, frame.nonce, self._nonce)
            answer = changed(answer, next_proof=proof)
        return [Send(encode(answer))]

    def _on_attach(self, frame: AttachFrame) -> list[Step]:
        following = self._secrets.next
        by_next = following is not None and self._proves(frame.proof, following)
        if not by_next and not self._proves(frame.proof, self._secrets.current):
            raise Unauthorized("the server's proof is wrong")
        self._awaiting_welcome = True
        asked = Attach(frame.role, frame.takeover, frame.have, frame.newest)
        return [FinishRotation(), asked] if by_next else [asked]

    def _proves(self, proof: str, secret: str) -> bool:
        assert self._server_nonce is not None
        expected = auth.server_proof(secret, self._server_nonce, self._nonce)
        return auth.matches(proof, expected)

    def _on_rotate(self, frame: RotateFrame) -> list[Step]:
        half = Half()
        self._agreed = half.for_client(self._secrets.current, frame.public)
        answer = RotatingFrame(public=half.public, proof=self._agreed.client_proof)
        return [BeginRotation(self._agreed.secret), Send(encode(answer))]

    def _on_confirm(self, frame: ConfirmFrame, agreed: Agreed) -> list[Step]:
        self._agreed = None
        if self._secrets.next != agreed.secret:
            raise UnexpectedFrame("another server has begun to change the secret meanwhile")
        if not auth.matches(frame.proof, agreed.server_proof):
            raise Unauthorized("the server's proof of the new secret is wrong")
        return [FinishRotation(), Send(encode(RotatedFrame()))]


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
