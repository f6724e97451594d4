"""The terminal emulator: what sequences do to the screen, and that none does harm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.screen.emulator import Emulator


def drawn(text: str, rows: int = 4, cols: int = 12) -> Emulator:
    emulator = Emulator(rows, cols)
    assert emulator.feed(text, lambda: True)
    return emulator


def shown(text: str, rows: int = 4, cols: int = 12) -> str:
    return "\n".join(drawn(text, rows, cols).screen.text()).rstrip("\n")


DRAWINGS = {
    "lines": ("one\ntwo\r\nthree", "one\ntwo\nthree"),
    "rewritten line": ("10%\r100%\b\b \n", "10 %"),
    "wrapped": ("0123456789abcdef", "0123456789ab\ncdef"),
    "not wrapped": ("\x1b[?7l0123456789abcdef", "0123456789af"),
    "full line, then a new one": ("0123456789ab\nx", "0123456789ab\nx"),
    "scrolled": ("1\n2\n3\n4\n5", "2\n3\n4\n5"),
    "tabs": ("a\tb\x1b[Zc", "a       c"),
    "cursor": ("\x1b[2;3Hx\x1b[Ay\x1b[2Dz\x1b[Bw", "  zy\n  xw"),
    "columns and rows": ("\x1b[3Gx\x1b[2dy\x1b[5`z", "  x\n   yz"),
    "cleared": ("gone\x1b[2J\x1b[Hnew", "new"),
    "cleared to the end": ("one\ntwo\x1b[1;2H\x1b[J", "o"),
    "lines that have scrolled out": ("stays\x1b[3J", "stays"),
    "erased in a line": ("abcdef\x1b[3D\x1b[K", "abc"),
    "erased characters": ("abcdef\r\x1b[2X", "  cdef"),
    "inserted and deleted": ("abcd\r\x1b[2@\x1b[4G\x1b[P", "  acd"),
    "insert mode": ("bc\r\x1b[4ha\x1b[4l", "abc"),
    "inserted lines": ("1\n2\n3\x1b[2H\x1b[L", "1\n\n2\n3"),
    "deleted lines": ("1\n2\n3\x1b[1H\x1b[2M", "3"),
    "region": ("1\n2\n3\n4\x1b[2;3r\x1b[3H\nx", "1\n3\nx\n4"),
    "region scrolled up": ("1\n2\n3\n4\x1b[2;3r\x1b[S", "1\n3\n\n4"),
    "region scrolled down": ("1\n2\n3\n4\x1b[2;3r\x1b[T", "1\n\n2\n4"),
    "below the region": ("\x1b[1;2r\x1b[3Ha\nb\nc", "\n\na\nc"),
    "up at the top": ("1\n2\x1b[H\x1bMx", "x\n1\n2"),
    "repeated": ("-\x1b[4b|", "-----|"),
    "line drawing": ("\x1b(0lqk\x1b(Blqk", "┌─┐lqk"),
    "line drawing by shift": ("\x1b)0a\x0eq\x0fq", "a─q"),
    "shift without drawing": ("a\x0eb", "ab"),
    "saved cursor": ("ab\x1b7cd\x1b8x\x1b8y", "abyd"),
    "saved cursor, the other way": ("ab\x1b[scd\x1b[ux", "abxd"),
    "full reset": ("gone\x1b[2;3r\x1bcnew", "new"),
    "wide": ("a漢字b", "a漢字b"),
    "wide, half overwritten": ("漢b\rx", "x b"),
    "marks": ("e\u0301x", "éx"),
    "joined emoji": ("\U0001f469\u200d\U0001f4bb ok", "\U0001f469\U0001f4bb ok"),
    "heart": ("\u2764\ufe0f ok", "\u2764 ok"),
    "colours": ("\x1b[1;31mr\x1b[38;2;1;2;3me\x1b[38:2::1:2:3md\x1b[m", "red"),
    "title": ("\x1b]0;a title\x07x\x1b]8;;link\x1b\\y\x1b]8;;\x1b\\", "xy"),
    "messages": ("\x1bP+q436f\x1b\\a\x1b_G1\x1b\\b\x1b^x\x1b\\c", "abc"),
    "keyboard protocols": ("\x1b[>4;2m\x1b[>1u\x1b[=1;1u\x1b[<ux", "x"),
    "questions": ('\x1b[c\x1b[>c\x1b[6n\x1b[?1$p\x1b[18t\x1b[0"qx', "x"),
    "cursor shapes": ("\x1b[2 qx", "x"),
    "mouse": ("\x1b[?1000h\x1b[?1006hx\x1b[1;2;3;4;5Ty", "xy"),
    "132 columns": ("x\x1b[?3hy", "xy"),
    "colours turned over": ("x\x1b[?5hy", "xy"),
    "other charsets": ("\x1b*B\x1b%Gx\x1b F", "x"),
    "soft reset": ("1\n2\n3\n4\x1b[1;2r\x1b[!p\x1b[4H\n5", "2\n3\n4\n5"),
    "filled": ("\x1b#8\x1b[2;3r\x1b[2J\x1b[Hx", "x"),
    "C1 controls": ("a\x9b31mb\x85c", "a31mbc"),
    "broken sequences": ("\x1b[1;\x1b[2Kx\x1b[\x01y\x1b", "xy"),
    "unknown sequences": ("\x1b[5Jx\x1b[9Ky\x1b[1;2;3yz\x1bQ", "xyz"),
    "nothing printable": ("\0\x7f\x07a\x1b", "a"),
}


@pytest.mark.parametrize(("text", "screen"), DRAWINGS.values(), ids=DRAWINGS.keys())
def test_drawing(text: str, screen: str) -> None:
    assert shown(text) == screen


@pytest.mark.parametrize(("text", "screen"), DRAWINGS.values(), ids=DRAWINGS.keys())
def test_drawing_character_by_character(text: str, screen: str) -> None:
    """However the output was cut on its way."""
    emulator = Emulator(4, 12)
    for character in text:
        emulator.feed(character, lambda: True)
    assert "\n".join(emulator.screen.text()).rstrip("\n") == screen


def test_the_alternate_screen_is_another_one() -> None:
    emulator = drawn("main\n\x1b[?1049h\x1b[Hother")
    assert emulator.screen.alternate
    assert emulator.screen.text()[0] == "other"
    emulator.feed("\x1b[?1049lx", lambda: True)
    assert not emulator.screen.alternate
    assert emulator.screen.text()[:2] == ["main", "x"]


def test_the_alternate_screen_is_left_once() -> None:
    assert shown("main\x1b[?47l\x1b[?1047l!\x1b[?1049h\x1b[?1049h\x1b[Hx\x1b[?1049l") == "main!"


def test_each_screen_has_a_saved_cursor_of_its_own() -> None:
    again = "\x1b[?1049h\x1b[3;3H"
    assert shown(f"a{again}{again}\x1b7\x1b[?1049lb") == "ab"


def test_a_line_feed_by_the_terminal_s_mode() -> None:
    emulator = Emulator(4, 12)
    emulator.screen.newline = False
    emulator.feed("main\nline\x1b[?1049h\x1b[Hab\nc", lambda: True)
    assert emulator.screen.text()[:2] == ["ab", "  c"]


def test_the_cursor() -> None:
    screen = drawn("ab\n\x1b[?25lc").screen
    assert (screen.cursor.y, screen.cursor.x, screen.cursor.hidden) == (1, 1, True)


RESIZES = {
    "wider": ((4, 20), "1\n2\n3"),
    "narrower": ((4, 1), "1\n2\n3"),
    "cursor's line stays": ((2, 12), "2\n3"),
    "taller": ((9, 12), "1\n2\n3"),
}


@pytest.mark.parametrize(("size", "screen"), RESIZES.values(), ids=RESIZES.keys())
def test_resize(size: tuple[int, int], screen: str) -> None:
    emulator = drawn("1\n2\n3\x1b[1;2r\x1b[3;2H")
    emulator.screen.resize(*size)
    assert "\n".join(emulator.screen.text()).rstrip("\n") == screen
    assert emulator.screen.cursor.y < size[0]
    assert emulator.screen.cursor.x < size[1]
    emulator.feed("\x1b[99;99Hend", lambda: True)
    assert len(emulator.screen.text()) == size[0]


def test_resize_behind_the_alternate_screen() -> None:
    emulator = drawn("main text\x1b[?1049h\x1b[Hother")
    emulator.screen.resize(2, 4)
    emulator.feed("\x1b[?1049l", lambda: True)
    assert emulator.screen.text() == ["main", ""]


def test_what_is_unknown_after_a_hole() -> None:
    emulator = drawn("1\n2\n")
    emulator.skipped()
    assert emulator.screen.unknown == 4
    emulator.feed("x" * 100, lambda: True)
    assert emulator.screen.unknown == 4  # where lines begin is not known
    emulator.feed("3\n4", lambda: True)
    assert emulator.screen.unknown == 4
    emulator.feed("\n5", lambda: True)
    assert emulator.screen.unknown == 3  # one row has scrolled by
    for whole in ("\x1b[2J", "\x1b[H\x1b[J", "\x1bc", "\x1b[?1049h", "\n" * 8):
        emulator.skipped()
        emulator.feed(whole, lambda: True)
        assert emulator.screen.unknown == 0, whole


HOSTILE = {
    "endless title": "\x1b]0;" + "x" * 100_000,
    "endless message": "\x1bP" + "x" * 100_000,
    "endless parameters": "\x1b[" + "1;" * 50_000 + "H",
    "huge parameter": "\x1b[" + "9" * 50_000 + "A",
    "saved cursors": "\x1b7" * 50_000,
    "tab stops": "\x1bH\x1b[C" * 20_000,
    "marks in a cell": "x" + "\u0301" * 50_000,
    "marks in a cell, one by one": "x" + "\x1b[C\x1b[D\u0301" * 5_000,
    "filled": "\x1b#8" * 3_000,
    "repeated": "x" + "\x1b[9999b" * 100,
    "inserted": "\x1b[9999@\x1b[9999L\x1b[9999S\x1b[9999T" * 1_000,
    "screens": "\x1b[?1049h\x1b#8\x1b[?1049l" * 1_000,
    "escapes": "\x1b" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_output_is_bounded(text: str) -> None:
    emulator = Emulator(24, 80)
    began = time.monotonic()
    emulator.feed(text, lambda: True)
    assert time.monotonic() - began < 15
    screen = emulator.screen
    assert sum(map(len, screen.text())) <= 24 * 80 * 8
    assert len(screen.savepoints) <= 1
    assert len(screen.tabstops) <= 80
    emulator.feed("\x1bc\x1b\\\x07\x18after", lambda: True)
    assert "after" in emulator.screen.text()[0]


def test_it_stops_when_told_to() -> None:
    assert not Emulator(4, 12).feed("x\x1b[H" * 1_000, lambda: False)


PIECES = st.one_of(
    st.text(max_size=20),
    st.text("0123456789;?<=>:!\"#$%&' ()*+-./", max_size=8).flatmap(
        lambda parameters: st.characters(max_codepoint=0x7F).map(
            lambda final: f"\x1b[{parameters}{final}"
        )
    ),
    st.characters(max_codepoint=0x9F).map(lambda character: "\x1b" + character),
    st.sampled_from(["\x1b[?1049h", "\x1b[?1049l", "\x1b(0", "\x1b[2;3r", "\x1b[?6h", "漢"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=40), st.integers(1, 6), st.integers(1, 9))
def test_nothing_raises(pieces: list[str], rows: int, cols: int) -> None:
    emulator = Emulator(rows, cols)
    for number, piece in enumerate(pieces):
        emulator.feed(piece, lambda: True)
        if number % 7 == 3:
            emulator.screen.resize(cols, rows)
    screen = emulator.screen
    assert len(screen.text()) == screen.lines
    assert 0 <= screen.cursor.y < screen.lines
    assert 0 <= screen.cursor.x <= screen.columns
