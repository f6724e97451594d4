"""A cell as it runs: what its kernel says of it goes in, events and observations come out. No I/O
but into its files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, cast

from tether_runtime_client.plugin import PluginEvent
from tether_runtime_client.protocol.jupyter import (
    CellStatus,
    DisplayOutput,
    DisplayUpdate,
    ErrorOutput,
    InputPrompt,
    IPythonDisplayUpdated,
    IPythonOutputCleared,
    IPythonOutputOmitted,
    IPythonOutputShown,
    IPythonStreamDelta,
    IPythonWaitingForInput,
    KernelEnd,
    ResultOutput,
)
from tether_runtime_client.protocol.message import to_json

from . import limits
from .bundles import Bundler
from .files import CellFiles
from .kept_outputs import KeptOutputs, StreamName
from .text import cut, field, plain, sane

Content = dict[str, Any]
Stopping = Literal["interrupted", "timeout"]
_UPDATES = 100


class Cell:
    """One owner, its kernel, on the loop.

    `tell` is where events go while an action follows the cell, else None. `pause` is done when the
    cell has ended or waits for input; `ended` when it has ended.
    """

    def __init__(self, kernel: str, message_id: str, files: CellFiles) -> None:
        self.kernel = kernel
        self.message_id = message_id
        self.files = files
        self.tell: Callable[[PluginEvent], None] | None = None
        self.began = time.monotonic()
        self.ended = asyncio.Event()
        self.pause = asyncio.Event()
        self.stopping: Stopping | None = None
        self.execution_count: int | None = None
        self.running = asyncio.Event()
        self.prompt: InputPrompt | None = None
        self.error: ErrorOutput | None = None
        self.end: KernelEnd | None = None
        self.total_bytes = 0
        self.updates: list[DisplayUpdate] = []
        self.problems: list[str] = []
        self.kept = KeptOutputs()
        self._reply: Content | None = None
        self._bundler = Bundler(files)
        self._clear_next = False
        self._early: list[bytes] | None = []
        self._told_bytes = 0
        self._told_events = 0

    @property
    def status(self) -> CellStatus:
        """How it came out so far."""
        if self.end is not None and self.stopping is None:
            return "kernel_died"
        failed = self.error is not None or (self._reply or {}).get("status") == "error"
        if self.stopping == "timeout" or (self.stopping and (failed or self.end is not None)):
            return self.stopping  # a cell may handle an interrupt, and end well
        if self.prompt is not None:
            return "waiting_for_input"
        aborted = (self._reply or {}).get("status") in ("abort", "aborted")
        return "error" if failed else "aborted" if aborted else "ok"

    def renew(self) -> None:
        """What comes from now on is for another observation."""
        self.kept = KeptOutputs()
        self._bundler = Bundler(self.files)
        self.updates = []
        self.problems = []
        self._told_bytes = self._told_events = 0

    def take(self, kind: str, content: Content) -> None:
        """A message about this cell, of any shape."""
        handler = self._HANDLERS.get(kind)
        if handler is not None:
            handler(self, content)

    def asks(self, content: Content) -> None:
        """It waits for input."""
        text = field(content, "prompt", limits.NAME * 16)
        self.prompt = InputPrompt(text=text, password=content.get("password") is True)
        self._emit(IPythonWaitingForInput(kernel=self.kernel, prompt=self.prompt))
        self.pause.set()

    def answered(self) -> None:
        """It has its input."""
        self.prompt = None
        self.pause.clear()

    def replied(self, content: Content) -> None:
        """The kernel's word on how it came out; an error was shown before."""
        self._reply = content
        count = content.get("execution_count")
        if type(count) is int and 0 <= count < 2**53:
            self.execution_count = count

    def finish(self, end: KernelEnd | None = None) -> None:
        """It has ended, or its kernel has. Twice is safe."""
        if self.ended.is_set():
            return
        self.end = end
        self.prompt = None
        self.files.close()
        self.ended.set()
        self.pause.set()

    def _input(self, content: Content) -> None:
        self.running.set()
        count = content.get("execution_count")
        if type(count) is int and 0 <= count < 2**53:
            self.execution_count = count

    def _stream(self, content: Content) -> None:
        name, text = content.get("name"), content.get("text")
        if name not in ("stdout", "stderr") or not isinstance(text, str) or not text:
            return
        self._clear_if_due()
        text = sane(text)
        data = text.encode()
        offset, self.total_bytes = self.total_bytes, self.total_bytes + len(data)
        self.kept.write(cast(StreamName, name), data)
        self._keep_in_file(data)
        self._tell_text(cast(StreamName, name), text, offset)

    def _keep_in_file(self, data: bytes) -> None:
        """In memory as long as the observation has all of it, then in a file."""
        if self._early is not None:
            self._early.append(data)
            if self.total_bytes <= limits.CONTENT:
                return
            data, self._early = b"".join(self._early), None
        self.files.append(data)

    def _tell_text(self, name: StreamName, text: str, offset: int) -> None:
        for start in range(0, len(text), limits.DELTA):
            piece = text[start : start + limits.DELTA]
            self._emit(
                IPythonStreamDelta(kernel=self.kernel, name=name, text=piece, offset=offset),
                size=len(piece) * 2,
            )
            offset += len(piece.encode())

    def _display(self, content: Content) -> None:
        self._clear_if_due()
        bundle, size = self._bundler.bundle(content.get("data"), content.get("metadata"))
        self._show(DisplayOutput(data=bundle, display_id=_display_id(content)), size)

    def _result(self, content: Content) -> None:
        self._clear_if_due()
        bundle, size = self._bundler.bundle(content.get("data"), content.get("metadata"))
        count = content.get("execution_count")
        number = count if type(count) is int and 0 <= count < 2**53 else None
        display_id = _display_id(content)
        self._show(ResultOutput(data=bundle, execution_count=number, display_id=display_id), size)

    def _update(self, content: Content) -> None:
        display_id = _display_id(content)
        if display_id is None:
            return
        here = self.kept.size_of(display_id)
        self._bundler.room += here or 0
        bundle, size = self._bundler.bundle(content.get("data"), content.get("metadata"))
        update = DisplayUpdate(display_id=display_id, data=bundle)
        if here is not None:
            self.kept.update(display_id, bundle, size)
        else:
            self.updates = [one for one in self.updates if one.display_id != display_id]
            self.updates = [*self.updates, update][-_UPDATES:]
        self._emit(IPythonDisplayUpdated(kernel=self.kernel, update=update), size=size)

    def _error(self, content: Content) -> None:
        self._clear_if_due()
        error = self.error = error_output(content)
        size = len(to_json(error))
        if size > self._bundler.room:
            error = error_output(content, limits.SHORT)
            size = min(len(to_json(error)), self._bundler.room)
        self._bundler.room -= size
        self._show(error, size)

    def _show(self, shown: DisplayOutput | ResultOutput | ErrorOutput, size: int) -> None:
        self._bundler.room += self.kept.show(shown, size)
        self._emit(IPythonOutputShown(kernel=self.kernel, output=shown), size=size)

    def _clear(self, content: Content) -> None:
        wait = content.get("wait") is True
        self._clear_next = True
        if not wait:
            self._clear_if_due()
        self._emit(IPythonOutputCleared(kernel=self.kernel, wait=wait))

    def _clear_if_due(self) -> None:
        if self._clear_next:
            self._clear_next = False
            self.kept = KeptOutputs()
            self._bundler.room = limits.ROOM

    def _emit(self, event: PluginEvent, size: int = 0) -> None:
        """Until there were too many; then the first of those that are left out is told."""
        if self.tell is None or self._told_events > limits.EVENTS:
            return
        self._told_events += 1
        self._told_bytes += size or len(to_json(event))
        if self._told_events > limits.EVENTS or self._told_bytes > limits.TOLD:
            self._told_events = limits.EVENTS + 1
            offset = event.offset if isinstance(event, IPythonStreamDelta) else self.total_bytes
            path = self.files.stream_path if self.files.has_stream else None
            event = IPythonOutputOmitted(kernel=self.kernel, from_offset=offset, path=path)
        self.tell(event)

    _HANDLERS: ClassVar[Mapping[str, Callable[[Cell, Content], None]]] = {
        "execute_input": _input,
        "stream": _stream,
        "display_data": _display,
        "execute_result": _result,
        "update_display_data": _update,
        "error": _error,
        "clear_output": _clear,
    }


def error_output(content: Content, longest: int = limits.TRACEBACK) -> ErrorOutput:
    """An exception as a kernel tells it, its texts cut to a length."""
    lines = content.get("traceback")
    lines = lines if isinstance(lines, list) else []
    text = "\n".join(line for line in lines[:10_000] if isinstance(line, str))
    coloured = cut(sane(text), longest)
    return ErrorOutput(
        name=field(content, "ename", min(longest, limits.NAME)),
        value=field(content, "evalue", longest),
        traceback=plain(coloured),
        traceback_ansi=coloured,
    )


def _display_id(content: Content) -> str | None:
    transient = content.get("transient")
    found = transient.get("display_id") if isinstance(transient, dict) else None
    return sane(found) if isinstance(found, str) and 0 < len(found) <= limits.NAME else None
