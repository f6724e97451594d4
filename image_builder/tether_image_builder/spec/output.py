"""What a step prints: shown line by line without what is secret, and its end kept for an error."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable

from ..classic import KEPT_LINES, plain
from .secrets import Redactor

_LONGEST_LINE = 2000
_LONGEST_WAIT = 1 << 16  # so much is waited for the end of a line, and more is cut


class StepOutput:
    """Takes bytes cut anywhere; hands on whole lines, of which the last are in `tail`.

    Of a line that a program has written over, the last state is shown.
    """

    def __init__(self, redact: Redactor, show: Callable[[str], None]) -> None:
        self._redact = redact
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)

    def take(self, data: bytes) -> None:
        """The next bytes."""
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LONGEST_WAIT:
            self._cut()

    def end(self) -> None:
        """There are no more."""
        self._line(self._rest + self._decoder.decode(b"", final=True))
        self._rest = ""

    def _cut(self) -> None:
        """A secret may have begun at the end of what there is: so much stays."""
        text = self._redact(self._rest)
        kept = min(self._redact.longest, len(text))
        self._rest = text[len(text) - kept :]
        self._line(text[: len(text) - kept])

    def _line(self, line: str) -> None:
        states = [state for state in line.split("\r") if state.strip()]
        shown = self._redact(plain(states[-1] if states else "").rstrip())[:_LONGEST_LINE]
        if shown:
            self.tail.append(shown)
            self._show(shown)
