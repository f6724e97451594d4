"""What is sent for an action, what never is, and what ends one that was not answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tether_runtime_client.protocol.actions import Action
from tether_runtime_client.protocol.errors import InvalidAction, MalformedFrame
from tether_runtime_client.protocol.frames import MAX_ID, RejectedSubmission, decode_from_server
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.observations import Observation
from tether_runtime_client.protocol.opaque import opaque_action
from tether_runtime_client.protocol.plugin_actions import PluginAction


@dataclass(frozen=True, slots=True)
class Submission:
    """An action under its id, and the future that gets its observation."""

    action_id: str
    answer: asyncio.Future[Observation]


def body_of(action: Action) -> bytes:
    """The action as JSON, a plugin's as an opaque one; raises `InvalidAction` for text that is no
    Unicode.
    """
    if isinstance(action, PluginAction):
        action = opaque_action(action)
    try:
        return to_json(action, lone="strict")
    except UnicodeError:
        raise InvalidAction(
            "the action has text that is no Unicode",
            hint="Send other bytes as data; name a file of other bytes in a command, by escapes",
        ) from None


def check(frame: bytes) -> None:
    """Refuse what the client would: an action built past its model's validation, or a bad id."""
    try:
        decode_from_server(frame)
    except RejectedSubmission as rejected:
        raise rejected.error from None
    except MalformedFrame:  # the frame is ours: nothing else of it can be wrong
        hint = f"An id is made of at most {MAX_ID} letters, digits, and any of _ . : -"
        raise InvalidAction("the action's id cannot be used", hint=hint) from None
