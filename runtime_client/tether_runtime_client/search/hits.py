"""What a search in files finds, whoever looks."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 2_000
"""The most characters of a line that are shown."""
SNIFFED = 64 * 1024
"""A file with a NUL byte in its first bytes is binary: how many are looked at."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that matches: its number and the column of its first match, both from 1, and the
    lines before and after it, all without their ends and as they are `kept`.
    """

    line: int
    column: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def item(self, path: str) -> dict[str, Any]:
        """As it is told."""
        return {
            "path": path,
            "line": self.line,
            "column": self.column,
            "text": _readable(self.text),
            "cut": len(self.text) > MAX_SHOWN,
            "before": [_readable(text) for text in self.before],
            "after": [_readable(text) for text in self.after],
        }


def kept(line: str) -> str:
    """What is kept of a line: what is shown, and a sign that there is more."""
    return line[: MAX_SHOWN + 1]


def _readable(text: str) -> str:
    """With a replacement character for every byte that is no text."""
    return text[:MAX_SHOWN].encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def encoding_of(start: bytes) -> tuple[str, int] | None:
    """By the first bytes of a file: its encoding and the length of its mark. None: binary."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return (name, len(mark)) if name != "utf-8" or b"\0" not in start else None
    return None if b"\0" in start else ("utf-8", 0)
