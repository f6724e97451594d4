"""What a program asked of the keyboard, and what a paste sends."""

from __future__ import annotations

import pytest

from tether_runtime_client.screen import keyboard
from tether_runtime_client.screen.keyboard import Keyboard


class Output:
    """A log that is all in memory."""

    def __init__(self) -> None:
        self.data = b""

    @property
    def total(self) -> int:
        return len(self.data)

    def tail(self, offset: int, limit: int, /) -> tuple[int, bytes]:
        start = max(offset, self.total - limit)
        return start, self.data[start:]


@pytest.fixture
def output() -> Output:
    return Output()


CHANGES = {
    "at first": (b"text", (False, False)),
    "on": (b"\x1b[?1h\x1b[?2004h", (True, True)),
    "off again": (b"\x1b[?1h\x1b[?2004h\x1b[?1l\x1b[?2004l", (False, False)),
    "together": (b"\x1b[?1;25;2004h", (True, True)),
    "others": (b"\x1b[?10h\x1b[?20040h\x1b[1h\x1b[2004h", (False, False)),
    "full reset": (b"\x1b[?1h\x1b[?2004h\x1bc", (False, False)),
    "soft reset": (b"\x1b[?1h\x1b[?2004h\x1b[!p", (False, False)),
}


@pytest.mark.parametrize(("data", "modes"), CHANGES.values(), ids=CHANGES.keys())
def test_modes(output: Output, data: bytes, modes: tuple[bool, bool]) -> None:
    output.data = data
    seen = Keyboard(output).update()
    assert (seen.application, seen.brackets) == modes


def test_a_change_that_came_in_parts(output: Output) -> None:
    seen = Keyboard(output)
    for byte in b"\x1b[?1h":
        output.data += bytes([byte])
        seen.update()
    assert seen.application


def test_what_is_seen_twice_changes_nothing(output: Output) -> None:
    output.data = b"\x1b[?1h\x1b[?1l"
    seen = Keyboard(output).update()
    output.data += b"x"
    assert not seen.update().application


def test_a_mode_lasts_while_much_goes_by(output: Output) -> None:
    output.data = b"\x1b[?1h"
    seen = Keyboard(output).update()
    output.data += b"x" * (2 * keyboard.WINDOW)
    assert seen.update().application


PASTES = {
    "plain": (b"", "a\nb\r\nc\rd", b"a\rb\rc\rd"),
    "between marks": (b"\x1b[?2004h", "a\nb", b"\x1b[200~a\rb\x1b[201~"),
    "with an end in it": (
        b"\x1b[?2004h",
        "a\x1b[201~rm\n\x1b[20\x1b[201~1~x",
        b"\x1b[200~arm\rx\x1b[201~",
    ),
    "not plain ASCII": (b"", "é", "é".encode()),
}


@pytest.mark.parametrize(("data", "text", "sent"), PASTES.values(), ids=PASTES.keys())
def test_paste(output: Output, data: bytes, text: str, sent: bytes) -> None:
    output.data = data
    assert Keyboard(output).update().pasted(text) == sent
