"""One readable line for each event. Pure: no terminal, no clock of its own.

What comes from a sandbox is hostile, so nothing of it that a terminal would act on is let through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from tether_runtime_client.protocol.events import ActionSubmitted, Event
from tether_runtime_client.protocol.observations import Observation

from .phrases import phrase

Tone = Literal["action", "good", "bad", "output", "plain"]
_COLORS: dict[Tone, str] = {"action": "cyan", "good": "green", "bad": "red"}
_MARKS: dict[Tone, str] = {"action": "→", "good": "←", "bad": "✗", "output": "│", "plain": "·"}
_BAD_EVENTS = {
    *("connection_lost", "history_gap", "output_omitted"),
    *("session_warning", "plugin_failed", "plugin_warning"),
}
_OUTPUT_EVENTS = {"output", "exec_output", "background_output"}


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it is shown: its tone, and the text that says what happened."""

    tone: Tone
    text: str


def describe(event: Event, *, color: bool = False, width: int = 160) -> str:
    """The event as one line: number, local time, action, and what happened.

    The part that says what happened is at most about `width` characters long; `color` adds the
    control sequences for colours, the only ones there are in the line.
    """
    line = to_line(event, width)
    number = f"{event.seq:>5}"
    when = _local_time(event.time)
    action = f"{(event.action_id or '')[:6]:<6}"
    mark, text = _MARKS[line.tone], line.text
    if not color:
        return f"{number}  {when}  {action}  {mark} {text}".rstrip()
    from click import style

    aside = style(f"{number}  {when}  {action}", dim=True)
    tint = _COLORS.get(line.tone)
    return f"{aside}  {style(mark, fg=tint, bold=True)} {style(text, fg=tint)}"


def to_line(event: Event, width: int = 160) -> Line:
    """The tone and the text of an event."""
    return Line(_tone(event), phrase(event, width))


def _tone(event: Event) -> Tone:
    if isinstance(event, ActionSubmitted):
        return "action"
    if isinstance(event, Observation):
        return "bad" if _failed(event) else "good"
    kind = getattr(event, "event", "")
    if kind in _OUTPUT_EVENTS:
        return "output"
    return "bad" if kind in _BAD_EVENTS else "plain"


def _failed(observation: Observation) -> bool:
    return observation.observation == "error" or bool(getattr(observation, "exit_code", 0))


def _local_time(seconds: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(seconds))
    return f"{clock}.{int(seconds * 1000) % 1000:03d}"
