"""How `runtime-build` shows its progress: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from .models import BuildProgress, Phase

COUNTED_IN_BYTES: tuple[Phase, ...] = ("pull", "push", "environment")


class Display(Protocol):
    """Is told each step, in order."""

    def __call__(self, progress: BuildProgress, /) -> None:
        """Shows a step."""


@contextmanager
def open_display(stream: TextIO) -> Iterator[Display]:
    """A display that suits the stream; it is cleared away at the end."""
    if not is_live(stream):
        yield PlainDisplay(stream)
        return
    from rich.console import Console

    console = Console(file=stream)
    with console.status("looking at the image") as status:
        yield LiveDisplay(console, status)


def is_live(stream: TextIO) -> bool:
    """Whether a line can be written over: a real terminal, whose output nobody keeps as a log."""
    return stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


class PlainDisplay:
    """A line for each thing that is new; counting goes unsaid."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""
        self._step: int | None = None

    def __call__(self, progress: BuildProgress, /) -> None:
        if progress.message.startswith("LABEL "):
            return  # marks of our own, which tell nobody anything
        line = self._line(progress)
        if line != self._last:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        self._last = line

    def _line(self, progress: BuildProgress) -> str:
        """Of a step of a spec the first line is its heading, and what it prints is below."""
        if progress.phase != "steps" or progress.current is None:
            return f"{progress.phase}: {progress.message}"
        if progress.current == self._step:
            return f"  {progress.message}"
        self._step = progress.current
        return f"step {progress.current}/{progress.total}: {progress.message}"


class LiveDisplay:
    """A line that changes; what is worth keeping stays above it."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def __call__(self, progress: BuildProgress, /) -> None:
        from rich.text import Text

        if progress.phase == "done" or progress.message.startswith("[Warning]"):
            self._console.print(Text(progress.message))
        else:
            self._status.update(Text(f"{progress.message}{_count(progress)}"))


def _count(progress: BuildProgress) -> str:
    if progress.current is None or progress.total is None:
        return ""
    if progress.phase in COUNTED_IN_BYTES and progress.total > 1000:  # steps are never so many
        return f" {progress.current / 1e6:.1f} of {progress.total / 1e6:.1f} MB"
    return f" ({progress.current} of {progress.total})"
