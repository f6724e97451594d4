"""The cells of a terminal's screen and what control sequences do to them: pyte's, with more.

pyte knows no alternate screen and no scrolling by a count, keeps saved cursors without a bound,
and spends most of its time on colours. What a program can make this do costs at most about a
pass over the cells, and what is kept is bounded by their number.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pyte
from pyte import charsets
from pyte import modes as mo
from pyte.screens import Char, Savepoint, StaticDefaultDict
from wcwidth import wcwidth

_MOST_MARKS = 4  # combining characters in one cell
_ALTERNATE = (47, 1047, 1049)
_SAVE_CURSOR = (1048, 1049)
_IGNORED = (3, 5)  # 132 columns, which the window would have to follow; colours turned over

Cells = dict[int, StaticDefaultDict[int, Char]]


@lru_cache(maxsize=4096)
def _char(data: str) -> Char:
    return Char(data)


class ScreenModel(pyte.Screen):
    """A screen without colours. Its methods are called by the parser; none raises."""

    alternate = False
    newline = True  # a line feed goes to the line's start too, as on a terminal in line mode
    unknown = 0  # rows, from the top, that may show what is there no more
    _astray = False  # the cursor's column is not known either, nor where lines wrap
    _other: tuple[Cells, list[Savepoint]] | None = None  # the main screen, behind the alternate one

    def reset(self) -> None:
        """As it was in the beginning, but for the size."""
        super().reset()
        self.g1_charset = charsets.LAT1_MAP
        self.savepoints.clear()
        self.alternate, self._other, self.unknown, self._astray = False, None, 0, False

    def skipped(self) -> None:
        """Output was left out here: nothing on the screen is certain any more."""
        self.unknown, self._astray = self.lines, True

    # --- text

    def draw(self, data: str) -> None:
        """Put text where the cursor is."""
        if not data.isascii():
            data = "".join(_drawable(data))
        elif mo.IRM not in self.mode and mo.DECAWM in self.mode and not self._translated:
            self._draw_plain(data)
            return
        astray = self._astray
        super().draw(data)
        self._astray = astray  # a line that wrapped began nowhere in particular

    @property
    def _translated(self) -> bool:
        charset = self.g1_charset if self.charset else self.g0_charset
        return charset is not charsets.LAT1_MAP

    def _draw_plain(self, data: str) -> None:
        """The same for ASCII, fifty times faster."""
        while data:
            if self.cursor.x >= self.columns:
                self.index()
                self.cursor.x = 0
            x = self.cursor.x
            part, data = data[: self.columns - x], data[self.columns - x :]
            self.cursor.x += len(part)
            cells = zip(range(x, self.cursor.x), map(_char, part), strict=True)
            self.buffer[self.cursor.y].update(cells)

    def select_graphic_rendition(self, *attributes: int) -> None:
        """Colours are not kept."""

    # --- moving

    def carriage_return(self) -> None:
        """To the start of the line."""
        self.cursor.x, self._astray = 0, False

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        """To a place on the screen."""
        super().cursor_position(line, column)
        self._astray = False

    def linefeed(self) -> None:
        """Down, and to the line's start where the terminal's mode has it so.

        The mode is known as it is now. What is on the main screen behind a program that has the
        alternate one was mostly written in line mode.
        """
        self.index()
        if self.newline or not self.alternate or mo.LNM in self.mode:
            self.carriage_return()

    def next_line(self) -> None:
        """Down and to the line's start."""
        self.index()
        self.carriage_return()

    def index(self) -> None:
        """Down one line, scrolling at the end of the region."""
        bottom = self.margins.bottom if self.margins else self.lines - 1
        if self.cursor.y > bottom:  # below the region nothing scrolls
            self.cursor.y = min(self.cursor.y + 1, self.lines - 1)
            return
        if self.cursor.y == bottom and self.margins is None and not self._astray:
            self.unknown = max(0, self.unknown - 1)
        super().index()

    def scroll_up(self, count: int) -> None:
        """Move the region's lines up; the cursor stays."""
        self._at_top(self.delete_lines, count)

    def scroll_down(self, count: int) -> None:
        """Move the region's lines down; the cursor stays."""
        self._at_top(self.insert_lines, count)

    def _at_top(self, change: Any, count: int) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = self.margins.top if self.margins else 0
        change(count)
        self.cursor.x, self.cursor.y = x, y

    def delete_lines(self, count: int | None = None) -> None:
        """Delete lines of the region; pyte would leave some that blank ones should replace."""
        top, bottom = self.margins or (0, self.lines - 1)
        if not top <= self.cursor.y <= bottom:
            return
        for y in range(self.cursor.y, bottom + 1):
            below = y + (count or 1)
            line = self.buffer.pop(below, None) if below <= bottom else None
            self.buffer.pop(y, None)
            if line is not None:
                self.buffer[y] = line
        self.carriage_return()

    def cursor_to_line(self, line: int | None = None) -> None:
        """To a line, in the same column."""
        self.cursor_position(line, self.cursor.x + 1)

    def set_region(self, top: int, bottom: int) -> None:
        """Set the scrolling region, 0 for the screen's own ends; the cursor goes home."""
        self.set_margins(top, bottom or None)
        self.cursor_position()

    def tab_back(self, count: int) -> None:
        """To an earlier tab stop."""
        before = sorted(stop for stop in self.tabstops if stop < self.cursor.x)
        self.cursor.x = before[-count] if len(before) >= count else 0

    def save_cursor(self) -> None:
        """Remember the cursor: one, as terminals do."""
        self.savepoints.clear()
        super().save_cursor()

    def restore_cursor(self) -> None:
        """Back to the remembered cursor, as often as it is asked for."""
        saved: list[Savepoint] = self.savepoints[:]
        super().restore_cursor()
        self.savepoints[:] = saved
        if saved:
            self.save_cursor()  # or the cursor and the memory of it would be one object

    # --- erasing, modes, sizes

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        """Erase the screen or a part of it. 3 is for lines that have scrolled out of it."""
        if how == 2:
            self.buffer.clear()
        elif how in (0, 1):
            super().erase_in_display(how)
        if how == 2 or (how == 0 and (self.cursor.x, self.cursor.y) == (0, 0)):
            self.unknown = 0

    def alignment_display(self) -> None:
        """Fill the screen."""
        for y in range(self.lines):
            self.buffer[y].update(dict.fromkeys(range(self.columns), _char("E")))

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """Erase the line or a part of it."""
        if how in (0, 1, 2):
            super().erase_in_line(how)

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        """Switch modes on."""
        self._modes(super().set_mode, True, modes, private=bool(kwargs.get("private")))

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        """Switch modes off."""
        self._modes(super().reset_mode, False, modes, private=bool(kwargs.get("private")))

    def _modes(self, change: Any, on: bool, modes: Iterable[int], *, private: bool) -> None:
        for mode in modes:
            if not private:
                change(mode)
            elif mode in _ALTERNATE or mode in _SAVE_CURSOR:
                self._change_screen(mode, on)
            elif mode not in _IGNORED:
                change(mode, private=True)

    def _change_screen(self, mode: int, on: bool) -> None:
        if on and mode in _SAVE_CURSOR:
            self.save_cursor()
        if mode in _ALTERNATE and on != self.alternate:
            self.alternate = on
            kept = (self.buffer, self.savepoints)
            self.buffer, self.savepoints = self._other or (self._blank(), [])
            self._other = kept if on else None
            self.unknown = 0 if on else self.unknown
        if not on and mode in _SAVE_CURSOR:
            self.restore_cursor()

    def _blank(self) -> Cells:
        return defaultdict(lambda: StaticDefaultDict[int, Char](self.default_char))

    def soft_reset(self) -> None:
        """Modes and the region as in the beginning; what is shown stays."""
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.margins, self.cursor.hidden = None, False

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Another size: what fits stays, and the cursor's line with it."""
        lines, columns = lines or self.lines, columns or self.columns
        self.buffer = self._cut(self.buffer, max(0, self.cursor.y + 1 - lines), lines, columns)
        if self._other is not None:
            self._other = (self._cut(self._other[0], 0, lines, columns), self._other[1])
        self.cursor.y = min(self.cursor.y, lines - 1)
        self.cursor.x = min(self.cursor.x, columns - 1)
        self.lines, self.columns, self.margins = lines, columns, None
        self.tabstops = set(range(8, columns, 8))
        self.unknown = min(self.unknown, lines)

    def _cut(self, cells: Cells, top: int, lines: int, columns: int) -> Cells:
        cut = self._blank()
        for y, line in cells.items():
            if top <= y < top + lines:
                cut[y - top].update((x, char) for x, char in line.items() if x < columns)
        return cut

    # --- what is shown

    def text(self) -> list[str]:
        """The rows, without blanks at their ends."""
        return [self._row(self.buffer.get(y)) for y in range(self.lines)]

    def _row(self, line: StaticDefaultDict[int, Char] | None) -> str:
        if not line:
            return ""
        shown, wide = [], False
        for x in range(self.columns):
            data = line[x].data
            # Empty is the second half of a wide character, if that is still there.
            shown.append(data if data or wide else " ")
            wide = not data.isascii()
        return "".join(shown).rstrip()


def _drawable(text: str) -> Iterable[str]:
    """What takes cells, and the first few marks upon each; pyte stops at anything else."""
    marks = 0
    for char in text:
        if wcwidth(char) > 0:
            marks = 0
            yield char
        elif unicodedata.combining(char) and marks < _MOST_MARKS:
            marks += 1
            yield char
