"""What a step prints: shown line by line without what is secret, and its end kept for an error."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable

from ..classic import KEPT_LINES, plain
from .secrets import Redactor

_LONGEST_LINE = 2000
_ENDS = re.compile(r"\r\n|\n|\r")


class StepOutput:
    """Takes bytes cut anywhere; hands on whole lines, of which the last are in `tail`."""

    def __init__(self, redact: Redactor, show: Callable[[str], None]) -> None:
        self._redact = redact
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)

    def take(self, data: bytes) -> None:
        """The next bytes."""
        *lines, self._rest = _ENDS.split(self._rest + self._decoder.decode(data))
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """There are no more."""
        self._line(self._rest + self._decoder.decode(b"", final=True))
        self._rest = ""

    def _line(self, line: str) -> None:
        shown = self._redact(plain(line).rstrip())[:_LONGEST_LINE]
        if shown:
            self.tail.append(shown)
            self._show(shown)
