"""What a terminal says when a program asks it: that of one that shows text, and knows little more.

The sequences are those of xterm's `ctlseqs`; the terminal says that it is a VT102, as the Linux
console does, and that it has not what it has not, so that nobody waits for more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from pyte import modes as mo

from ..version import VERSION
from .model import ScreenModel

_MODES = frozenset({1, 6, 7, 25, 2004})  # besides the alternate screen's
_ALTERNATE = frozenset({47, 1047, 1049})
_PRIVATE = 5  # how far pyte shifts the number of a private mode


def answer(screen: ScreenModel, question: str) -> str:
    """The answer to one of the `questions`; empty to one that this terminal has none to."""
    for pattern, reply in _ANSWERS.items():
        if found := re.fullmatch(pattern, question):
            return reply(screen, found)
    return ""


def _cursor(screen: ScreenModel, asked: re.Match[str]) -> str:
    row, column = screen.cursor.y + 1, min(screen.cursor.x + 1, screen.columns)
    if mo.DECOM in screen.mode and screen.margins is not None:
        row -= screen.margins.top
    return f"\x1b[{asked[1]}{row};{column}R"


def _size(screen: ScreenModel, asked: re.Match[str]) -> str:
    return f"\x1b[8;{screen.lines};{screen.columns}t"


def _mode(screen: ScreenModel, asked: re.Match[str]) -> str:
    """1: it is on, 2: it is off, 0: there is no such mode."""
    private, number = asked[1], int(asked[2])
    state = 0
    if not private and number in (mo.IRM, mo.LNM):
        state = 1 if number in screen.mode else 2
    elif private and number in _ALTERNATE:
        state = 1 if screen.alternate else 2
    elif private and number in _MODES:
        state = 1 if number << _PRIVATE in screen.mode else 2
    return f"\x1b[{private}{number};{state}$y"


def _colour(screen: ScreenModel, asked: re.Match[str]) -> str:
    """White on black."""
    colour = "0000/0000/0000" if asked[1] == "11" else "ffff/ffff/ffff"
    return f"\x1b]{asked[1]};rgb:{colour}{asked[2]}"


def _always(said: str) -> Callable[[ScreenModel, re.Match[str]], str]:
    return lambda screen, asked: said


_ANSWERS = MappingProxyType(
    {
        r"\x1b\[0?c": _always("\x1b[?6c"),  # who are you?
        r"\x1b\[>0?c": _always("\x1b[>0;0;0c"),  # of which version?
        r"\x1b\[>0?q": _always(f"\x1bP>|Tether({VERSION})\x1b\\"),  # called what?
        r"\x1b\[5n": _always("\x1b[0n"),  # are you well?
        r"\x1b\[(\??)6n": _cursor,
        r"\x1b\[18t": _size,
        r"\x1b\[(\??)(\d+)\$p": _mode,
        r"\x1b\](1[0-2]);\?(\x07|\x1b\\)": _colour,
        r"\x1bP\$q.*": _always("\x1bP0$r\x1b\\"),  # a setting: no such
        r"\x1bP\+q.*": _always("\x1bP0+r\x1b\\"),  # an entry of terminfo: no such
    }
)
