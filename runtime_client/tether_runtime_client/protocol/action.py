"""What all actions have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .message import Message

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SignalName = Annotated[str, Field(pattern=r"^SIG[A-Z0-9]+$")]
Environment = dict[Annotated[str, Field(pattern=r"^[^=\x00]+$")], str]
TerminalSide = Annotated[int, Field(ge=1, le=10_000)]


class Action(Message):
    """The base of all actions; `action` is the tag on the wire."""

    action: str
