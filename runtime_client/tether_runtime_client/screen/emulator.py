"""A terminal emulator: text in, a screen's rows out. No I/O, no clock of its own.

What cannot be understood is left out, as terminals do: nothing raises, and nothing of a sequence
is taken for text. pyte's own parser takes parts of newer sequences for text, and ends at others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from .model import ScreenModel

_LONGEST_STRING = 64 * 1024
_TEXT = 1024  # characters drawn at once
_LARGEST = 9999  # of a parameter

_TOKEN = re.compile(
    rf"(?P<text>[^\x00-\x1f\x7f-\x9f]{{1,{_TEXT}}})"
    r"|\x1b\[(?P<csi>[0-?]*)(?P<middle>[ -/]*)(?P<final>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # pictures, messages to other programs
    r"|\x1b\[[0-?]*[ -/]*(?![@-~])"  # cut off by another one
    r"|\x1b(?P<esc>[ -/]*[0-~])"
    r"|(?P<control>[\x00-\x1f])"
    r"|[\x7f-\x9f]"
)
_UNFINISHED = re.compile(
    rf"\x1b(?:[\]PX^_][^\x07\x1b]{{0,{_LONGEST_STRING}}}\x1b?"
    r"|\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,8})?\Z"
)

_CONTROLS = MappingProxyType(
    {
        "\b": "backspace",
        "\t": "tab",
        "\n": "linefeed",
        "\v": "linefeed",
        "\f": "linefeed",
        "\r": "carriage_return",
        "\x0e": "shift_out",
        "\x0f": "shift_in",
    }
)
_ESCAPES = MappingProxyType(
    {
        "7": "save_cursor",
        "8": "restore_cursor",
        "D": "index",
        "E": "next_line",
        "H": "set_tab_stop",
        "M": "reverse_index",
        "c": "reset",
        "#8": "alignment_display",
    }
)
_BY_COUNT = MappingProxyType(
    {
        "@": "insert_characters",
        "A": "cursor_up",
        "B": "cursor_down",
        "C": "cursor_forward",
        "D": "cursor_back",
        "E": "cursor_down1",
        "F": "cursor_up1",
        "G": "cursor_to_column",
        "L": "insert_lines",
        "M": "delete_lines",
        "P": "delete_characters",
        "S": "scroll_up",
        "T": "scroll_down",
        "X": "erase_characters",
        "Z": "tab_back",
        "`": "cursor_to_column",
        "a": "cursor_forward",
        "d": "cursor_to_line",
        "e": "cursor_down",
    }
)
_BY_KIND = MappingProxyType({"J": "erase_in_display", "K": "erase_in_line", "g": "clear_tab_stop"})
_PLACES = MappingProxyType({"H": "cursor_position", "f": "cursor_position", "r": "set_region"})
_MODES = MappingProxyType({"h": "set_mode", "l": "reset_mode"})


class Emulator:
    """Feed it a program's output; its `screen` is what a person would see."""

    def __init__(self, rows: int, cols: int) -> None:
        self.screen = ScreenModel(cols, rows)
        self._held = ""  # the beginning of a sequence whose rest has not come
        self._last = " "

    def feed(self, text: str, may_go_on: Callable[[], bool]) -> bool:
        """Take output. Returns False, with the rest left out, once `may_go_on` does."""
        text = self._whole(self._held + text)
        for number, token in enumerate(_TOKEN.finditer(text)):
            if number % 16 == 0 and not may_go_on():
                return False
            self._take(token)
        return True

    def skipped(self) -> None:
        """Some of the output is not there: what is fed next is not what came next."""
        self._held = ""
        self.screen.skipped()

    def _whole(self, text: str) -> str:
        """Hold a sequence back that has not ended."""
        start = max(0, len(text) - _LONGEST_STRING - 8)
        unfinished = _UNFINISHED.search(text, start)
        self._held = unfinished[0] if unfinished else ""
        return text[: unfinished.start()] if unfinished else text

    def _take(self, token: re.Match[str]) -> None:
        if token["text"]:
            self._last = token["text"][-1]
            self.screen.draw(token["text"])
        elif token["final"]:
            self._control_sequence(token["csi"], token["middle"], token["final"])
        elif token["esc"]:
            self._escape(token["esc"])
        elif token["control"]:
            self._call(_CONTROLS, token["control"])

    def _escape(self, sequence: str) -> None:
        if sequence[0] in "()":
            self.screen.define_charset(sequence[1:], sequence[0])
        else:
            self._call(_ESCAPES, sequence)

    def _control_sequence(self, parameters: str, middle: str, final: str) -> None:
        private = parameters[:1] == "?"
        numbers = _numbers(parameters[private:])
        if (parameters, middle, final) == ("", "!", "p"):
            self.screen.soft_reset()
        elif middle or numbers is None:
            return
        elif final in _MODES:
            getattr(self.screen, _MODES[final])(*numbers, private=private)
        elif final in _BY_KIND:
            self._call(_BY_KIND, final, numbers[0])
        elif not private:
            self._plain(final, numbers)

    def _plain(self, final: str, numbers: list[int]) -> None:
        first = numbers[0]
        if final in _PLACES:
            self._call(_PLACES, final, first, numbers[1] if len(numbers) > 1 else 0)
        elif final == "b":
            self.screen.draw(self._last * max(1, first))
        elif final == "s":
            self.screen.save_cursor()
        elif final == "u":
            self.screen.restore_cursor()
        elif final != "T" or len(numbers) == 1:  # with more it is about the mouse
            self._call(_BY_COUNT, final, max(1, first))

    def _call(self, table: Mapping[str, str], name: str, *arguments: int) -> None:
        if name in table:
            getattr(self.screen, table[name])(*arguments)


def _numbers(parameters: str) -> list[int] | None:
    """The parameters, at least one; None where there is more than numbers."""
    words = parameters.split(";")[:16]
    if not all(word.isdecimal() or not word for word in words):
        return None
    return [min(int(word[:5] or 0), _LARGEST) for word in words]
