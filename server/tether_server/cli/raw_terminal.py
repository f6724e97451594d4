"""This process's own terminal, in raw mode and back again on every way out."""

from __future__ import annotations

import os
import sys
import termios
import tty
from typing import Self

from .output import STDOUT, write_all

STDIN = 0
_CALM = b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[m"
"""Cursor shown, mouse and paste reports off, plain colours: what a program that was cut off
could not undo any more."""


class RawTerminal:
    """Raw within the block: every key goes to the sandbox, and its bytes to the screen.

    `calm` undoes what programs may have left switched on; for ends that were not in good order.
    """

    def __init__(self) -> None:
        self._saved = termios.tcgetattr(STDIN)

    def __enter__(self) -> Self:
        tty.setraw(STDIN, termios.TCSANOW)  # the default throws away what was typed ahead
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.restore()
        else:
            self.restore_calm()

    def restore(self) -> None:
        """Put the modes back. Without waiting for output: a stopped terminal would never end."""
        termios.tcsetattr(STDIN, termios.TCSANOW, self._saved)

    def restore_calm(self) -> None:
        """The same after an end that was not in good order. Twice is safe."""
        self.restore()
        write_all(STDOUT, _CALM + b"\n")


def has_terminal() -> bool:
    """Whether a person sits at both ends: keys come in and a screen is there."""
    return sys.stdin is not None and os.isatty(STDIN) and os.isatty(STDOUT)


def window() -> tuple[int, int]:
    """Rows and columns, at least one of each."""
    size = os.get_terminal_size(STDOUT)
    return max(1, size.lines), max(1, size.columns)
