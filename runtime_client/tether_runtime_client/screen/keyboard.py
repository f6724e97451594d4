"""What a program asked of the keyboard, read from its output when a key is to be pressed."""

from __future__ import annotations

import re
from typing import Self

from .log import Log

WINDOW = 1024 * 1024
"""The most output that is looked through at a time; of more, the last."""

_OVERLAP = 80  # longer than any change of modes: one may have come in two parts

# `CSI ? n h` and `l`; a full and a soft reset.
_CHANGE = re.compile(rb"\x1b(?:\[\?([0-9;]{1,64})([hl])|c|\[!p)")
_CURSOR_KEYS, _BRACKETED_PASTE = b"1", b"2004"
_PASTE_BEGIN, _PASTE_END = b"\x1b[200~", b"\x1b[201~"


class Keyboard:
    """The modes of one command's keyboard, as of the last `update`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._seen = 0
        self.application = False  # cursor keys send ESC O in place of ESC [
        self.brackets = False  # a paste is to be put between marks

    def update(self) -> Self:
        """Look at the output since the last time, and a little before: seeing it twice is fine."""
        _, output = self._log.tail(max(0, self._seen - _OVERLAP), WINDOW)
        self._seen = self._log.total
        for change in _CHANGE.finditer(output):
            modes, on = (change[1] or b"").split(b";"), change[2] == b"h"
            if change[1] is None or _CURSOR_KEYS in modes:
                self.application = on
            if change[1] is None or _BRACKETED_PASTE in modes:
                self.brackets = on
        return self

    def pasted(self, text: str) -> bytes:
        """What a terminal sends for a pasted text: its lines end as the Enter key does."""
        data = text.replace("\r\n", "\r").replace("\n", "\r").encode()
        if not self.brackets:
            return data
        while _PASTE_END in data:  # it would end the paste, and the rest would be typed
            data = data.replace(_PASTE_END, b"")
        return _PASTE_BEGIN + data + _PASTE_END
