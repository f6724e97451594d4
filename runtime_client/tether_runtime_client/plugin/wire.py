"""What a plugin's process and the client say to each other, over a socket pair.

Each frame is its length in four bytes, the highest first, and as many bytes of JSON. The client
begins with `start`, which is answered by `started` or `failed`. Then it sends actions, each with a
number of its own, which come to one `end` each, after any number of `event`s. What is asked on
either side has a number too, and one answer.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter

from ..protocol.limits import MAX_FRAME
from ..protocol.message import LATER, Message, to_json
from ..protocol.plugin_actions import Kind, OpaqueAction
from .declaration import Declaration

HEAD = struct.Struct(">I")

MAX_WIRE_FRAME = MAX_FRAME + 1024 * 1024
"""The longest frame. What fits into one message of the event connection fits into it."""

MAX_TOLD = MAX_FRAME - 4096
"""The longest observation or event of a plugin, as JSON; the rest is for what goes around it."""

MAX_REASON = 8000
"""The most characters of what goes wrong."""

Number = Annotated[int, Field(ge=0, le=2**53)]
Reason = Annotated[str, Field(max_length=MAX_REASON)]


class StartFrame(Message):
    """Client → plugin, first: what it is and where.

    `path`, `environment` and `mark` are for the process itself and are read before anything else
    is imported: see `plugin_process`.
    """

    type: Literal["start"] = "start"
    declaration: Declaration
    config: dict[str, JsonValue]
    path: tuple[str, ...]
    environment: bytes
    mark: int
    prefix: str | None
    state: str
    workdir: str
    plugins: str
    skills: str


class StartedFrame(Message):
    """Plugin → client: it is ready for actions."""

    type: Literal["started"] = "started"


class FailedFrame(Message):
    """Plugin → client: it cannot start. The process ends next."""

    type: Literal["failed"] = "failed"
    reason: Reason


class ActionFrame(Message):
    """Client → plugin: carry this out."""

    type: Literal["action"] = "action"
    number: Number
    action_id: str
    action: OpaqueAction


class CancelFrame(Message):
    """Client → plugin: end that action. It is answered by the action's `end`."""

    type: Literal["cancel"] = "cancel"
    number: Number


class EventFrame(Message):
    """Plugin → client: something happened in an action."""

    type: Literal["event"] = "event"
    number: Number
    kind: Kind
    fields: dict[str, JsonValue]


class ObservationEnd(Message):
    """What an action came to."""

    ended: Literal["observation"] = "observation"
    kind: Kind
    fields: dict[str, JsonValue]


class ErrorEnd(Message):
    """The error that an action ended with: a code that the client knows, or it is a defect."""

    ended: Literal["error"] = "error"
    code: Annotated[str, Field(max_length=64)]
    message: Reason
    hint: Reason = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class CancelledEnd(Message):
    """The action was cancelled."""

    ended: Literal["cancelled"] = "cancelled"


class EndFrame(Message):
    """Plugin → client: an action ended."""

    type: Literal["end"] = "end"
    number: Number
    end: Annotated[ObservationEnd | ErrorEnd | CancelledEnd, Field(discriminator="ended")]


class AskFrame(Message):
    """Plugin → client: what is known of a shell session."""

    type: Literal["ask"] = "ask"
    number: Number
    what: Literal["folder", "environment"]
    session: Annotated[str, Field(max_length=1024)]


class AnswerFrame(Message):
    """Client → plugin: the answer to what it asked."""

    type: Literal["answer"] = "answer"
    number: Number
    folder: str | None = None
    environment: bytes | None = None
    problem: str | None = None


class HealthFrame(Message):
    """Client → plugin: how are you?"""

    type: Literal["health"] = "health"
    number: Number


class HealthyFrame(Message):
    """Plugin → client: how it is; `problem` is None where it is well."""

    type: Literal["healthy"] = "healthy"
    number: Number
    problem: Reason | None = None


class PingFrame(Message):
    """Client → plugin, while an action runs: does your event loop turn?"""

    type: Literal["ping"] = "ping"


class PongFrame(Message):
    """Plugin → client: it does."""

    type: Literal["pong"] = "pong"


class StopFrame(Message):
    """Client → plugin: end in good order."""

    type: Literal["stop"] = "stop"


ToPlugin = Annotated[
    StartFrame | ActionFrame | CancelFrame | AnswerFrame | HealthFrame | PingFrame | StopFrame,
    Field(discriminator="type"),
]
FromPlugin = Annotated[
    StartedFrame | FailedFrame | EventFrame | EndFrame | AskFrame | HealthyFrame | PongFrame,
    Field(discriminator="type"),
]

to_plugin_adapter: TypeAdapter[ToPlugin] = TypeAdapter(ToPlugin, config=LATER)
from_plugin_adapter: TypeAdapter[FromPlugin] = TypeAdapter(FromPlugin, config=LATER)


def pack(frame: Message) -> bytes:
    """A frame as it is written; raises `ValueError` for one that is too long."""
    body = to_json(frame)
    if len(body) > MAX_WIRE_FRAME:
        raise ValueError(f"it takes {len(body):,} bytes, and {MAX_WIRE_FRAME:,} is the most")
    return HEAD.pack(len(body)) + body


class Frames:
    """Bytes as they come in, frames' bodies as they are whole."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Take what came. Take the frames out before there is more."""
        self._bytes += data

    def next(self) -> bytes | None:
        """The next whole frame's body; raises `ValueError` for one that is too long."""
        if len(self._bytes) < HEAD.size:
            return None
        (length,) = HEAD.unpack_from(self._bytes)
        if length > MAX_WIRE_FRAME:
            raise ValueError(f"a frame of {length:,} bytes, and {MAX_WIRE_FRAME:,} is the most")
        end = HEAD.size + length
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[HEAD.size : end])
        del self._bytes[:end]
        return body


def packed(environment: Mapping[str, str]) -> bytes:
    """Variables as the kernel knows them: bytes of any encoding, a NUL behind each."""
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items())


def unpacked(environment: bytes) -> dict[str, str]:
    """The same back again."""
    pairs = (item.partition(b"=") for item in environment.split(b"\0")[:-1])
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def told(value: Any) -> str:
    """Something that may be anything as text of a bounded length."""
    try:
        text = str(value)
    except Exception as problem:
        text = f"{type(value).__name__}, which cannot be shown ({type(problem).__name__})"
    return text[:MAX_REASON]
