"""What all actions have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .message import Message

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Action(Message):
    """The base of all actions; `action` is the tag on the wire."""

    action: str
