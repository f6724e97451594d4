"""How much may wait for an acknowledgement, and what was left out because of it."""

from __future__ import annotations

from collections import deque

from .protocol.events import (
    BackgroundOutput,
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
    FilesChanged,
    OpaqueEvent,
    OutputOmitted,
    PluginEventsOmitted,
    SessionWarning,
    WatchOverflow,
)

UNACKNOWLEDGED_LIMIT = 64 * 1024 * 1024
"""Bytes of output that may wait for an acknowledgement; past it it is left out, and said so."""

_STEP = 64 * 1024
"""Small events are counted together: memory holds a thousand entries, not a million."""

BOUNDED = (
    *(CmdOutputDelta, ExecOutputDelta, BackgroundOutput, SessionWarning, FilesChanged),
    OpaqueEvent,
)
"""What a sandbox can make any amount of. All else is bounded by the actions there are."""


class Backlog:
    """Bytes of bounded events that were recorded and not acknowledged."""

    def __init__(self) -> None:
        self._steps: deque[list[int]] = deque()
        self.size = 0

    def add(self, seq: int, size: int) -> None:
        """Event number `seq` is bounded and takes `size` bytes."""
        self.size += size
        if self._steps and self._steps[-1][1] < _STEP:
            self._steps[-1][0] = seq
            self._steps[-1][1] += size
        else:
            self._steps.append([seq, size])

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is stored elsewhere."""
        while self._steps and self._steps[0][0] <= seq:
            self.size -= self._steps.popleft()[1]

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return self.size > UNACKNOWLEDGED_LIMIT


class Omissions:
    """What was left out, until it can be said: one event for each action's stream or session."""

    def __init__(self) -> None:
        self._output: dict[tuple[str | None, str], OutputOmitted] = {}
        self._sessions: dict[str, int] = {}
        self._watches: dict[str | None, int] = {}
        self._plugins: dict[str | None, PluginEventsOmitted] = {}

    def add(self, event: Event) -> None:
        """Leave this bounded event out."""
        match event:
            case CmdOutputDelta():
                self._extend(event.action_id, None, event.offset, event.offset + event.length)
            case ExecOutputDelta():
                end = event.offset + len(event.data)
                self._extend(event.action_id, event.stream, event.offset, end)
            case BackgroundOutput() | SessionWarning():
                self._sessions[event.session] = self._sessions.get(event.session, 0) + 1
            case FilesChanged():
                count = self._watches.get(event.action_id, 0) + len(event.changes)
                self._watches[event.action_id] = count
            case OpaqueEvent():
                known = self._plugins.get(event.action_id)
                self._plugins[event.action_id] = PluginEventsOmitted(
                    action_id=event.action_id,
                    plugin=event.kind.partition(".")[0],
                    count=known.count + 1 if known is not None else 1,
                )

    def about(self, action_id: str | None) -> list[Event]:
        """Take out what is to be said before the next event about an action."""
        if action_id is None or not (self._output or self._watches or self._plugins):
            return []
        keys = [key for key in self._output if key[0] == action_id]
        events: list[Event] = [self._output.pop(key) for key in keys]
        if count := self._watches.pop(action_id, 0):
            reason = f"{count} changes were left out: too many events waited, or the disk was full"
            events.append(WatchOverflow(action_id=action_id, reason=reason))
        if left_out := self._plugins.pop(action_id, None):
            events.append(left_out)
        return events

    def about_sessions(self) -> list[Event]:
        """Take out what is to be said once events may wait again."""
        counts, self._sessions = self._sessions, {}
        return [
            SessionWarning(
                session=session,
                message=f"{count} events of background output and warnings were left out:"
                " too many waited for an acknowledgement, or the disk was full",
            )
            for session, count in counts.items()
        ]

    def _extend(self, action_id: str | None, stream: str | None, first: int, end: int) -> None:
        key = (action_id, stream or "")
        known = self._output.get(key)
        self._output[key] = OutputOmitted.model_validate(
            {
                "action_id": action_id,
                "stream": stream,
                "from_offset": known.from_offset if known else first,
                "to_offset": end,
            }
        )
