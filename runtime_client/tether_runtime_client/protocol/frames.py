"""The frames of the event connection, one JSON object a websocket text message.

Order: `hello` → `challenge` → `attach` → `welcome`, then `submit` and `ack` one way, numbered
`event` and `observation` frames and `rejected` the other way, until either end closes. Amid them
`rotate` → `rotating` → `confirm` → `rotated` may change the secret. Instead of any of its frames
the client may send `error`; the connection ends with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from .actions import AnyAction
from .errors import InvalidAction, MalformedFrame, TetherError
from .events import AnySandboxEvent, Event
from .limits import MAX_EPOCHS, MAX_SEQUENCE, MAX_TEXT
from .message import LATER, Message, to_json
from .observations import AnyObservation, ErrorCode, Observation

Role = Literal["controller", "operator"]
MAX_ID = 128
ActionId = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=r"^[A-Za-z0-9_.:-]+$")]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32,64}$")]
Proof = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Half = Annotated[str, Field(pattern=r"^[0-9a-f]{512}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")]
Sequence = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class HelloFrame(Message):
    """Server → client, first: who speaks which version, and a fresh random value."""

    type: Literal["hello"] = "hello"
    version: int
    nonce: Nonce


class ChallengeFrame(Message):
    """Client → server: a random value of its own, and proof that it knows the secret.

    While the secret is being changed it accepts two: `next_proof` is by the one to come.
    """

    type: Literal["challenge"] = "challenge"
    version: int
    nonce: Nonce
    proof: Proof
    next_proof: Proof | None = None


class StoredEvent(Message):
    """An event as a server has it: a number alone does not tell it from another life's."""

    epoch: Epoch
    seq: Sequence
    sha256: Digest


class AttachFrame(Message):
    """Server → client: its proof, its role, and per epoch the last event it has stored.

    `newest` is the last of all it stored, so that a sandbox that was set back is found out.
    """

    type: Literal["attach"] = "attach"
    proof: Proof
    role: Role = "controller"
    takeover: bool = False
    have: Annotated[dict[Epoch, Sequence], Field(max_length=MAX_EPOCHS)] = Field(
        default_factory=dict
    )
    newest: StoredEvent | None = None


class EpochRange(Message):
    """The events of one client life that the journal still has, both ends included."""

    epoch: Epoch
    first: Sequence
    last: Sequence


class WelcomeFrame(Message):
    """Client → server: attached. Replay of `epochs` follows, oldest first, then what is new."""

    type: Literal["welcome"] = "welcome"
    epoch: Epoch
    fence: Sequence
    epochs: Annotated[tuple[EpochRange, ...], Field(max_length=MAX_EPOCHS)]
    running: tuple[Annotated[str, Field(max_length=MAX_ID)], ...] = ()


class SubmitFrame(Message):
    """Server → client: run this, unless the id was accepted before."""

    type: Literal["submit"] = "submit"
    id: ActionId
    action: AnyAction


class AckFrame(Message):
    """Controller → client: everything up to `seq` of `epoch` is stored."""

    type: Literal["ack"] = "ack"
    epoch: Epoch
    seq: Sequence


class RotateFrame(Message):
    """Server → client: agree on another secret; half of the agreement."""

    type: Literal["rotate"] = "rotate"
    public: Half


class RotatingFrame(Message):
    """Client → server: the other half, and proof that it knows the new secret, which it accepts
    from now on as well.
    """

    type: Literal["rotating"] = "rotating"
    public: Half
    proof: Proof


class ConfirmFrame(Message):
    """Server → client: proof that it knows the new secret too, and has stored it."""

    type: Literal["confirm"] = "confirm"
    proof: Proof


class RotatedFrame(Message):
    """Client → server: the new secret alone is accepted now."""

    type: Literal["rotated"] = "rotated"


class EventFrame(Message):
    """Client → server: event number `seq` of `epoch`."""

    type: Literal["event"] = "event"
    epoch: Epoch
    seq: Sequence
    event: AnySandboxEvent


class ObservationFrame(Message):
    """Client → server: the same for the event that ends an action."""

    type: Literal["observation"] = "observation"
    epoch: Epoch
    seq: Sequence
    observation: AnyObservation


class RejectedFrame(Message):
    """Client → server: this submission was not accepted, and left no trace."""

    type: Literal["rejected"] = "rejected"
    id: Annotated[str, Field(max_length=MAX_ID)]
    code: ErrorCode
    message: Text
    hint: Text = ""
    data: dict[str, Any] = Field(default_factory=dict)


class ErrorFrame(Message):
    """Client → server: what was wrong with the connection. It is closed next."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: Text
    hint: Text = ""


FromServer = Annotated[
    HelloFrame | AttachFrame | SubmitFrame | AckFrame | RotateFrame | ConfirmFrame,
    Field(discriminator="type"),
]
FromClient = Annotated[
    EventFrame
    | ObservationFrame
    | RejectedFrame
    | ChallengeFrame
    | WelcomeFrame
    | RotatingFrame
    | RotatedFrame
    | ErrorFrame,
    Field(discriminator="type"),
]

from_server_adapter: TypeAdapter[FromServer] = TypeAdapter(FromServer)
from_client_adapter: TypeAdapter[FromClient] = TypeAdapter(FromClient, config=LATER)


class _Number(BaseModel):
    """The head of a numbered frame, whatever follows."""

    type: Literal["event", "observation"]
    epoch: Epoch
    seq: Sequence
    observation: dict[str, Any] | None = None


_number_adapter: TypeAdapter[_Number] = TypeAdapter(_Number)


class RejectedSubmission(Exception):
    """A submit frame whose action is unusable, though its id could be read."""

    def __init__(self, action_id: str, error: TetherError) -> None:
        super().__init__(action_id, error)
        self.action_id = action_id
        self.error = error


def encode(frame: Message) -> bytes:
    """One frame as the UTF-8 JSON that goes into one text message."""
    return to_json(frame)


def encode_numbered(epoch: str, seq: int, event: Event) -> bytes:
    """An event as its frame: an `EventFrame`, or an `ObservationFrame` for an observation."""
    kind = b"observation" if isinstance(event, Observation) else b"event"
    parts = (kind, epoch.encode(), seq, kind, to_json(event))
    return b'{"type":"%b","epoch":"%b","seq":%d,"%b":%b}' % parts


def encode_submit(action_id: str, action: bytes) -> bytes:
    """An action's JSON as its `SubmitFrame`. The id must be checked, or decoded from this."""
    return b'{"type":"submit","id":%b,"action":%b}' % (json.dumps(action_id).encode(), action)


def encode_submitted(action_id: str, action: bytes, time: float) -> bytes:
    """The same as its `ActionSubmitted` event, the way it is stored."""
    return b'{"seq":0,"time":%.6f,"action_id":%b,"event":"submitted","action":%b}' % (
        *(time, json.dumps(action_id).encode(), action),
    )


def digest(frame: bytes) -> str:
    """The sha256 of a frame as it crossed the wire."""
    return hashlib.sha256(frame).hexdigest()


def decode_from_client(text: bytes) -> FromClient:
    """Parse what a runtime client sent; raises `MalformedFrame`."""
    try:
        return from_client_adapter.validate_json(text)
    except ValidationError as problem:
        raise _malformed(problem) from None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A numbered frame whose content is no event this version knows."""

    epoch: str
    seq: int
    is_final: bool
    action_id: str | None


def read_number(text: bytes) -> Unreadable | None:
    """What can still be told of a numbered frame that does not validate; None for anything else."""
    try:
        number = _number_adapter.validate_json(text)
    except ValidationError:
        return None
    content = number.observation or {}
    action_id = content.get("action_id")
    known = isinstance(action_id, str) and len(action_id) <= MAX_ID
    is_final = number.type == "observation"
    return Unreadable(number.epoch, number.seq, is_final, action_id if known else None)


def decode_from_server(text: bytes) -> FromServer:
    """Parse what a server sent; raises `MalformedFrame` or, for a bad action, its rejection."""
    try:
        return from_server_adapter.validate_json(text)
    except ValidationError as problem:
        action_id = _submission_id(text)
        if action_id is None:
            raise _malformed(problem) from None
        raise RejectedSubmission(action_id, _invalid_action(problem)) from None


def _submission_id(text: bytes) -> str | None:
    try:
        value = from_json(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("type") != "submit":
        return None
    action_id = value.get("id")
    return action_id if isinstance(action_id, str) and 0 < len(action_id) <= MAX_ID else None


def _malformed(problem: ValidationError) -> MalformedFrame:
    return MalformedFrame(f"the frame cannot be read: {_first_error(problem)}")


def _invalid_action(problem: ValidationError) -> InvalidAction:
    return InvalidAction(f"the action cannot be read: {_first_error(problem)}")


def _first_error(problem: ValidationError) -> str:
    """Where and what, without the input: that may be long, hostile or secret."""
    errors = problem.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(str(part) for part in errors[0]["loc"]) or "the whole frame"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{place}: {errors[0]['msg']}{more}"[:500]
