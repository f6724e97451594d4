"""What goes over the connection to an exec, beside the bytes of its streams.

Bytes towards the sandbox are standard input. Bytes from there belong to the stream that the last
`StreamFrame` named, stdout at first. Either side sends no more than `EXEC_WINDOW` bytes of a stream
beyond what the other has said to have taken; so one stream that nobody reads holds up no other.
What was sent and not taken is sent again over the next connection, after a cut.
"""

from __future__ import annotations

from typing import Literal

from .exec_actions import ByteCount
from .message import Message

OutputName = Literal["stdout", "stderr"]
StreamName = Literal["stdin", "stdout", "stderr"]


class StreamFrame(Message):
    """The bytes that follow are of this stream."""

    type: Literal["stream"] = "stream"
    stream: OutputName


class TakenFrame(Message):
    """So many bytes of a stream were taken in all, by the process or by the caller.

    The highest number there is stands for all that will ever come: it is not wanted.
    """

    type: Literal["taken"] = "taken"
    stream: StreamName
    bytes: ByteCount


class ClosedFrame(Message):
    """A stream has ended after so many bytes; of `stdin` also: the process reads no more."""

    type: Literal["closed"] = "closed"
    stream: StreamName
    bytes: ByteCount


class EndedFrame(Message):
    """The process has ended: 128 + `signal` when a signal ended it. What it wrote may follow."""

    type: Literal["ended"] = "ended"
    exit_code: int
    signal: int | None = None
    timed_out: bool = False
