"""The engine passes on a build's output in the pieces that programs write."""

from __future__ import annotations

from tether_image_builder.classic import LONGEST_LINE, Texts


def test_a_line_that_comes_in_pieces() -> None:
    texts = Texts()
    pieces = ["E", ": Unable to locate package", " no-such", "\nStep 2", "\n"]
    lines = [line for piece in pieces for line in texts.take({"stream": piece})]
    assert lines == ["E: Unable to locate package no-such", "Step 2"]


def test_several_at_once_without_colours_and_empty_ones() -> None:
    assert Texts().take({"stream": "\x1b[31mred\x1b[0m \r\n\n50%\r100%\n"}) == [
        "red",
        "50%",
        "100%",
    ]


def test_the_last_one_may_have_no_end() -> None:
    texts = Texts()
    assert texts.take({"stream": "half"}) == []
    assert texts.take({"status": "something else"}) == []
    assert texts.rest() == ["half"]
    assert texts.rest() == []


def test_a_line_that_does_not_end_is_not_kept_for_ever() -> None:
    texts = Texts()
    assert texts.take({"stream": "x" * (LONGEST_LINE + 1)}) == ["x" * (LONGEST_LINE + 1)]
    assert texts.rest() == []
