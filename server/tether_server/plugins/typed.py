"""Events as their readers get them: those of plugins as the plugins' own classes, where installed.

What is stored is what came. What does not validate stays opaque, and is told in the log, once for
each kind.
"""

from __future__ import annotations

import logging

from tether_runtime_client.protocol.events import ActionSubmitted, Event, OpaqueEvent
from tether_runtime_client.protocol.message import changed
from tether_runtime_client.protocol.observations import Observation, OpaqueObservation
from tether_runtime_client.protocol.opaque import typed_action, typed_event, typed_observation
from tether_runtime_client.protocol.plugin_actions import OpaqueAction

log = logging.getLogger(__name__)

_TOLD_AT_MOST = 1000
_told: set[str] = set()


def needs_opening(event: Event) -> bool:
    """Whether `typed` would have to look for a package, and perhaps to import it."""
    opaque = _opaque(event)
    if opaque is None:
        return False
    from .message_classes import installed_classes

    return not installed_classes.opened(_plugin(opaque.kind))


def typed(event: Event) -> Event:
    """The event, as its plugin's class where it is one of a plugin that is installed here."""
    opaque = _opaque(event)
    return event if opaque is None else _opened(event, opaque)


def typed_answer(answer: Observation) -> Observation:
    """The same of an observation."""
    opened = typed(answer)
    return opened if isinstance(opened, Observation) else answer


def _opened(event: Event, opaque: OpaqueAction | OpaqueObservation | OpaqueEvent) -> Event:
    from .message_classes import installed_classes

    classes = installed_classes.of(_plugin(opaque.kind))
    try:
        if isinstance(opaque, OpaqueObservation):
            answer = classes.observations.get(opaque.kind)
            return event if answer is None else typed_observation(opaque, answer)
        if isinstance(opaque, OpaqueEvent):
            kind = classes.events.get(opaque.kind)
            return event if kind is None else typed_event(opaque, kind)
        action = classes.actions.get(opaque.kind)
        return event if action is None else changed(event, action=typed_action(opaque, action))
    except ValueError as problem:
        _tell_once(opaque.kind, problem)
        return event


def _opaque(event: Event) -> OpaqueAction | OpaqueObservation | OpaqueEvent | None:
    """What of the event is to be opened. By exact type: this is asked of every event."""
    kind = type(event)
    if kind is ActionSubmitted:
        action = event.action  # type: ignore[attr-defined]
        return action if type(action) is OpaqueAction else None
    return event if kind is OpaqueObservation or kind is OpaqueEvent else None  # type: ignore[return-value]


def _plugin(kind: str) -> str:
    return kind.partition(".")[0]


def _tell_once(kind: str, problem: ValueError) -> None:
    if kind not in _told and len(_told) < _TOLD_AT_MOST:
        _told.add(kind)
        log.warning("a %r came that is none by the plugin installed here: %s", kind, problem)
