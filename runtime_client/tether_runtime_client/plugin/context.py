"""What a handler has beside its action, in the plugin's process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Literal, Protocol

from ..protocol.errors import FrameTooLarge, PluginError
from ..protocol.message import Message, to_json
from ..protocol.opaque import opaque_event
from ..protocol.plugin_events import PluginEvent
from .wire import MAX_TOLD, AnswerFrame, AskFrame, EventFrame, unpacked


class Sender(Protocol):
    """Takes frames for the client."""

    def send(self, frame: Message) -> None:
        """Write it, whichever thread this is."""


class Questions:
    """What was asked of the client and is not answered yet. For the loop's thread."""

    def __init__(self, link: Sender) -> None:
        self._link = link
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[AnswerFrame]] = {}

    async def ask(self, what: Literal["folder", "environment"], session: str) -> AnswerFrame:
        """Raises `PluginError` where the client cannot tell."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._link.send(AskFrame(number=number, what=what, session=session))
            answer = await self._asked[number]
        finally:
            del self._asked[number]
        if answer.problem is not None:
            raise PluginError(f"session {session!r} has no {what}: {answer.problem}", hint="")
        return answer

    def answered(self, answer: AnswerFrame) -> None:
        """The client's answer; one that nobody waits for any more is dropped."""
        asked = self._asked.get(answer.number)
        if asked is not None and not asked.done():
            asked.set_result(answer)


class HandlerContext:
    """An `ActionContext` of one running action. `over` is set when that has ended."""

    def __init__(
        self,
        action_id: str,
        number: int,
        link: Sender,
        questions: Questions,
        events: Mapping[str, type[PluginEvent]],
    ) -> None:
        self.action_id = action_id
        self.over = False
        self._number = number
        self._link = link
        self._questions = questions
        self._events = events

    def emit(self, event: PluginEvent) -> None:
        """Tell something while the action runs, from any thread."""
        if self.over:
            raise RuntimeError(f"action {self.action_id} has ended: it can tell no more events")
        if type(event) not in self._events.values():
            declared = ", ".join(kind.__name__ for kind in self._events.values()) or "none"
            raise TypeError(
                f"a {type(event).__name__} is no event that the declaration names:"
                f" it has {declared}"
            )
        opaque = opaque_event(event)
        check_size(opaque, "the event")
        frame = EventFrame(number=self._number, kind=opaque.kind, fields=opaque.fields)
        self._link.send(frame)

    async def session_folder(self, session: str = "default") -> Path:
        """The present directory of a shell session; where sessions start, if it has no shell."""
        return Path((await self._questions.ask("folder", session)).folder or "/")

    async def session_environment(self, session: str = "default") -> dict[str, str]:
        """The variables that a shell session exports, after the last command that ended there."""
        return unpacked((await self._questions.ask("environment", session)).environment or b"")


def check_size(message: Message, what: str) -> None:
    """Raises `FrameTooLarge` for what the event connection would not take."""
    size = len(to_json(message))
    if size > MAX_TOLD:
        raise FrameTooLarge(
            f"{what} takes {size:,} bytes, and {MAX_TOLD:,} is the most",
            hint="The plugin should write what is long to a file, and tell its path",
        )
