"""What an action came to, as whoever ran it gets it."""

from __future__ import annotations

from tether_runtime_client.protocol.actions import Action
from tether_runtime_client.protocol.answers import check_answer
from tether_runtime_client.protocol.errors import error_from_code
from tether_runtime_client.protocol.observations import (
    ErrorObservation,
    Observation,
    OpaqueObservation,
)

from .plugins.typed import typed_answer


def answer_to(action: Action, observation: Observation) -> Observation:
    """What the action came to; raises the error that it ended in, and for what is no answer."""
    answer = check_answer(action, raise_error(observation))
    return typed_answer(answer) if type(answer) is OpaqueObservation else answer


def raise_error(observation: Observation) -> Observation:
    """The observation, unless it is an error: then the matching `TetherError` is raised."""
    if isinstance(observation, ErrorObservation):
        raise error_from_code(
            observation.code, observation.message, observation.hint, observation.data
        )
    return observation
