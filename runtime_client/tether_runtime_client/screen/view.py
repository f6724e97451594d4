"""The view of one command's terminal, brought up to date when somebody looks."""

from __future__ import annotations

import asyncio
import codecs
import re
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..aside import aside
from .log import Log

if TYPE_CHECKING:
    from .emulator import Emulator
    from .questions import Question

WINDOW = 1024 * 1024
"""The most output that one look draws; of more, the last."""

_PATIENCE_S = 2.0  # for drawing it: a screen can be filled anew by every three bytes
_LAST = 16 * 1024  # drawn then, of what was left
_BOUNDARY = re.compile(rb"[\x1b\n]")
_LONGEST_END = 1024  # of a sequence that began before what is drawn
_SIZES = 64  # changes of size that are remembered until the next look


class Size(NamedTuple):
    """A terminal's size, from an offset of the log on."""

    offset: int
    rows: int
    cols: int


class Shown(NamedTuple):
    """What is on a screen. `row` and `col` are the cursor's and count from 1."""

    content: str
    rows: int
    cols: int
    row: int
    col: int
    cursor_visible: bool
    alternate: bool
    complete: bool
    total_bytes: int


class ScreenView:
    """One command's screen. `look` as often as you like; what is new since the last is drawn."""

    def __init__(self, log: Log, rows: int, cols: int) -> None:
        self._log = log
        self._sizes: deque[Size] = deque([Size(0, rows, cols)], maxlen=_SIZES)
        self._drawn = 0
        self._emulator: Emulator | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._looking = asyncio.Lock()

    def resize(self, rows: int, cols: int) -> None:
        """What comes from now on is written for a terminal of this size."""
        self._sizes.append(Size(self._log.total, rows, cols))

    async def look(self, *, newline: bool) -> Shown:
        """What a person would see now. Takes some seconds at most, and no time of the loop's.

        `newline`: whether a line feed goes to the line's start too, by the terminal's mode.
        """
        async with self._looking:
            return await aside(partial(self._draw_new, *self._new(), newline))

    async def answers(self, questions: Sequence[Question], *, newline: bool) -> bytes:
        """What a terminal says to these, in order: each time as it is where the question ends."""
        async with self._looking:
            return await aside(partial(self._answer, questions, *self._new(), newline))

    def _new(self) -> tuple[int, bytes, list[Size]]:
        start, data = self._log.tail(self._drawn, WINDOW)
        return start, data, [self._sizes.popleft() for _ in range(len(self._sizes))]

    def _draw_new(self, start: int, data: bytes, sizes: list[Size], newline: bool) -> Shown:
        return _shown(self._draw(start, data, sizes, newline), start + len(data))

    def _answer(
        self,
        questions: Sequence[Question],
        start: int,
        data: bytes,
        sizes: list[Size],
        newline: bool,
    ) -> bytes:
        from .answers import answer

        said = []
        for question in questions:
            part, data = data[: max(0, question.end - start)], data[max(0, question.end - start) :]
            now = [size for size in sizes if size.offset <= start + len(part)]
            emulator = self._draw(start, part, now, newline)
            start, sizes = start + len(part), sizes[len(now) :]
            said.append(answer(emulator.screen, question.sequence))
        self._draw(start, data, sizes, newline)
        return "".join(said).encode()

    def _draw(self, start: int, data: bytes, sizes: list[Size], newline: bool) -> Emulator:
        emulator = self._emulator = self._emulator or _new_emulator(sizes[0])
        emulator.screen.newline = newline
        end = start + len(data)
        if start > self._drawn:
            self._skip(emulator)
            start, data = _from_a_boundary(start, data)
        until = time.monotonic() + _PATIENCE_S
        in_time = True
        for size in sizes:
            part, data = data[: max(0, size.offset - start)], data[max(0, size.offset - start) :]
            start += len(part)
            in_time = in_time and self._feed(emulator, part, until)
            emulator.screen.resize(size.rows, size.cols)
        if not (in_time and self._feed(emulator, data, until)):
            self._skip(emulator)
            _, data = _from_a_boundary(0, data[-_LAST:])
            self._feed(emulator, data, until + _PATIENCE_S / 2)
        self._drawn = end
        return emulator

    def _feed(self, emulator: Emulator, data: bytes, until: float) -> bool:
        text = self._decoder.decode(data)
        return emulator.feed(text, lambda: time.monotonic() < until)

    def _skip(self, emulator: Emulator) -> None:
        self._decoder.reset()
        emulator.skipped()


def _from_a_boundary(start: int, data: bytes) -> tuple[int, bytes]:
    """The same without what may be the end of a control sequence."""
    boundary = _BOUNDARY.search(data, 0, _LONGEST_END)
    cut = boundary.start() if boundary else 0
    return start + cut, data[cut:]


def _new_emulator(size: Size) -> Emulator:
    """The emulator's library is large beside what a client needs else: few sessions need it."""
    from .emulator import Emulator

    return Emulator(size.rows, size.cols)


def _shown(emulator: Emulator, total_bytes: int) -> Shown:
    screen = emulator.screen
    return Shown(
        content="\n".join(screen.text()).rstrip("\n"),
        rows=screen.lines,
        cols=screen.columns,
        row=screen.cursor.y + 1,
        col=min(screen.cursor.x + 1, screen.columns),
        cursor_visible=not screen.cursor.hidden,
        alternate=screen.alternate,
        complete=not screen.unknown,
        total_bytes=total_bytes,
    )
