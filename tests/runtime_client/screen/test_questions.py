"""What counts as a question to the terminal, and what the terminal says to it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.screen import questions
from tether_runtime_client.screen.answers import answer
from tether_runtime_client.screen.emulator import Emulator
from tether_runtime_client.screen.keyboard import Keyboard
from tether_runtime_client.screen.questions import Questions
from tether_runtime_client.screen.view import ScreenView

from .test_keyboard import Output

WHO, WHERE = b"\x1b[c", b"\x1b[6n"
PASTE_ON, PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"


@pytest.fixture
def output() -> Output:
    return Output()


def asked(output: Output) -> list[bytes]:
    new = Questions(output).new(brackets=Keyboard(output).update().brackets)
    return [question.sequence.encode() for question in new]


FOUND = {
    "behind all text": (b"text" + WHERE, [WHERE]),
    "several": (WHO + WHERE, [WHO, WHERE]),
    "among other sequences": (b"text\x1b[?1049h" + WHO + b"\x1b[2J\x1b7", [WHO]),
    "before text": (WHERE + b"sure? ", []),
    "before a new line": (WHERE + b"\r\n", []),
    "before text of who tells keys from answers": (PASTE_ON + WHERE + b"> ", [WHERE]),
    "just before that is said": (b"text" + WHERE + PASTE_ON + b"> ", [WHERE]),
    "before text and then that": (WHERE + b"text" + PASTE_ON + b"> ", []),
    "of who did so before": (PASTE_ON + WHERE + PASTE_OFF + b"> ", []),
    "of who does so again": (PASTE_ON + WHERE + PASTE_OFF + b"> " + PASTE_ON + b"x", []),
    "of one after a reset": (PASTE_ON + WHERE + b"\x1bc> ", []),
    "cut off": (b"\x1b[6", []),
    "within a message": (b"\x1bP\x1b[6n\x1b\\", []),
    "an answer": (b"\x1b[?6c", []),
    "colours": (b"\x1b]11;?\x1b\\\x1b]10;?\x07", [b"\x1b]11;?\x1b\\", b"\x1b]10;?\x07"]),
    "a colour that is set": (b"\x1b]11;red\x07", []),
    "settings": (b"\x1bP$qm\x1b\\\x1bP+q544e\x1b\\", [b"\x1bP$qm\x1b\\", b"\x1bP+q544e\x1b\\"]),
}


@pytest.mark.parametrize(("data", "found"), FOUND.values(), ids=FOUND.keys())
def test_what_is_a_question(output: Output, data: bytes, found: list[bytes]) -> None:
    output.data = data
    assert asked(output) == found


def test_each_is_found_once(output: Output) -> None:
    seen = Questions(output)
    output.data = b"text" + WHO
    assert [question.end for question in seen.new(brackets=False)] == [len(output.data)]
    assert seen.new(brackets=False) == []
    output.data += WHERE
    assert [question.end for question in seen.new(brackets=False)] == [len(output.data)]


def test_only_the_last_ones_are_looked_for(output: Output) -> None:
    output.data = PASTE_ON + WHO + b"x" * questions.WINDOW + WHERE * 100
    assert asked(output) == [WHERE] * 32


@pytest.mark.parametrize("part", [b"\x1b", b"\x1b]", b"\x1bP", b"\x1b[?2004;", b"\x1b[?", WHO])
def test_any_output_takes_no_time(output: Output, part: bytes) -> None:
    output.data = part * questions.WINDOW
    began = time.perf_counter()
    asked(output)
    assert time.perf_counter() - began < 2


@given(st.lists(st.sampled_from([*b"\x1b[]P\\?>$+c6n;024hlqtp\x07 x"]), max_size=40))
def test_any_output_is_taken(data: list[int]) -> None:
    output = Output()
    output.data = bytes(data)
    for question in asked(output):
        answer(Emulator(4, 12).screen, question.decode())


SAID = {
    "who": ("", "\x1b[c", "\x1b[?6c"),
    "who, with a number": ("", "\x1b[0c", "\x1b[?6c"),
    "which": ("", "\x1b[>c", "\x1b[>0;0;0c"),
    "state": ("", "\x1b[5n", "\x1b[0n"),
    "cursor": ("a\nbc", "\x1b[6n", "\x1b[2;3R"),
    "cursor behind a full line": ("0123456789ab", "\x1b[6n", "\x1b[1;12R"),
    "cursor in a region": ("\x1b[2;4r\x1b[?6h\x1b[2;1H", "\x1b[6n", "\x1b[2;1R"),
    "cursor, with a region's rows and without one": ("\x1b[?6h", "\x1b[6n", "\x1b[1;1R"),
    "cursor, asked as DEC does": ("", "\x1b[?6n", "\x1b[?1;1R"),
    "size": ("", "\x1b[18t", "\x1b[8;4;12t"),
    "a mode that is on": ("\x1b[?2004h", "\x1b[?2004$p", "\x1b[?2004;1$y"),
    "a mode that is off": ("\x1b[?7l", "\x1b[?7$p", "\x1b[?7;2$y"),
    "the alternate screen": ("\x1b[?1049h", "\x1b[?1047$p", "\x1b[?1047;1$y"),
    "a mode there is not": ("\x1b[?2026h", "\x1b[?2026$p", "\x1b[?2026;0$y"),
    "insert mode": ("\x1b[4h", "\x1b[4$p", "\x1b[4;1$y"),
    "a public mode there is not": ("", "\x1b[25$p", "\x1b[25;0$y"),
    "background": ("", "\x1b]11;?\x07", "\x1b]11;rgb:0000/0000/0000\x07"),
    "text": ("", "\x1b]10;?\x1b\\", "\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    "a setting": ("", "\x1bP$q q\x1b\\", "\x1bP0$r\x1b\\"),
    "an entry": ("", "\x1bP+q5463\x1b\\", "\x1bP0+r\x1b\\"),
    "no question": ("", "\x1b[14t", ""),
}


@pytest.mark.parametrize(("before", "question", "said"), SAID.values(), ids=SAID.keys())
def test_what_is_said(before: str, question: str, said: str) -> None:
    emulator = Emulator(4, 12)
    assert emulator.feed(before, lambda: True)
    assert answer(emulator.screen, question) == said


def test_it_says_its_name() -> None:
    assert answer(Emulator(4, 12).screen, "\x1b[>q").startswith("\x1bP>|Tether(")


async def test_each_is_answered_as_of_where_it_was_asked(output: Output) -> None:
    view = ScreenView(output, 4, 12)
    output.data = PASTE_ON + b"ab" + WHERE + b"cd"
    view.resize(6, 20)
    output.data += WHERE + b"\x1b[18te\x1b[18t"
    found = Questions(output).new(brackets=True)
    said = await view.answers(found, newline=True)
    assert said == b"\x1b[1;3R\x1b[1;5R" + b"\x1b[8;6;20t" * 2
    assert (await view.look(newline=True)).content == "abcde"
    output.data += WHO
    assert await view.answers(found[:1], newline=True) == b"\x1b[1;6R"  # long drawn over
    assert (await view.look(newline=True)).content == "abcde"
