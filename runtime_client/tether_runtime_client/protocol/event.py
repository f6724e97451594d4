"""What all events have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .message import Message


class Event(Message):
    """The base of events and observations.

    `seq` is given by the server when it stores the event (0 until then), `time` is in seconds
    since 1970 by the clock of whoever made the event, `action_id` names the action it is about.
    """

    seq: int = 0
    time: float = 0.0
    action_id: Annotated[str, Field(max_length=128)] | None = None
