"""What a program asks its terminal, found in its output: who it is, where the cursor stands. Pure.

An answer comes to the program as if it was typed. So only what surely waits for one is a question:
what is behind all text, or was asked by a program that wants pastes between marks. That one tells
sequences from keys, and draws its prompt before it reads an answer, as prompt_toolkit does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .log import Log

WINDOW = 16 * 1024
"""The most output that is looked through; an older question is not waited for."""

_MOST = 32
_PASTE_MARKS = re.compile(rb"\x1b(?:\[\?(?:[0-9;]*;)?2004(?:;[0-9;]*)?([hl])|c|\[!p)")
_TOKEN = re.compile(
    rb"(?P<sequence>\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\"
    rb"|[ -/]*[0-OQ-WYZ`-~]))|[^\x1b]+|\x1b"
)
_QUESTION = re.compile(
    rb"\x1b\[(?:>?0?c|[56]n|\?6n|18t|>0?q|\??\d{1,5}\$p)|\x1b\]1[0-2];\?(?:\x07|\x1b\\)"
    rb"|\x1bP[$+]q[^\x1b]*\x1b\\"
)


class Question(NamedTuple):
    """A question as it was asked, and where it ends in the output."""

    end: int
    sequence: str


class Questions:
    """Those of one command. Each is found once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._seen = 0

    def new(self, *, brackets: bool) -> list[Question]:
        """What the program asks now and did not ask before; `brackets`: as `Keyboard` has it."""
        start, output = self._log.tail(max(self._seen, self._log.total - WINDOW), WINDOW)
        self._seen = self._log.total
        return [
            Question(start + end, sequence.decode("utf-8", "replace"))
            for end, sequence in _asked(output, brackets=brackets)
        ][-_MOST:]


def _asked(output: bytes, *, brackets: bool) -> list[tuple[int, bytes]]:
    """The questions behind all text, and where `brackets` are on those that came with them."""
    behind: list[tuple[int, bytes]] = []  # all text
    marked: list[tuple[int, bytes]] = []
    on = brackets and not _PASTE_MARKS.search(output)
    for token in _TOKEN.finditer(output):
        sequence = token["sequence"]
        if not sequence:
            marked += behind if on else []
            behind = []
        elif _QUESTION.fullmatch(sequence):
            behind.append((token.end(), sequence))
        elif marks := _PASTE_MARKS.fullmatch(sequence):
            on = marks[1] == b"h"
            marked = marked if on else []
    return marked + behind
