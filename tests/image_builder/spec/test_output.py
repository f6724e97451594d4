"""What a step prints."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tether_image_builder.spec.output import StepOutput
from tether_image_builder.spec.secrets import Redactor


def lines_of(pieces: list[bytes], *secrets: bytes) -> list[str]:
    shown: list[str] = []
    output = StepOutput(Redactor(secrets), shown.append)
    for piece in pieces:
        output.take(piece)
    output.end()
    assert list(output.tail) == shown[-25:]
    return shown


def test_lines() -> None:
    assert lines_of([b"a\n\n b \r\nc\rd"]) == ["a", " b", "d"]
    assert lines_of([b"\x1b[31mred\x1b[0m \xff\n", b"\x1b]0;title"]) == ["red �", "]0;title"]
    assert lines_of([]) == []


def test_a_line_without_an_end_is_cut_and_its_secrets_are_not() -> None:
    secret = b"hunter2-" * 4
    text = b"x" * 65_000 + secret + b"y" * 200_000 + secret + b"\n"
    for size in (1000, 65_010, 65_536, 70_000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        shown = lines_of(pieces, secret)
        assert all(len(line) <= 2000 for line in shown)
        assert not any("hunter2" in line for line in shown)


def test_what_is_left_out_of_a_line_does_not_uncover_a_secret() -> None:
    assert lines_of([b"a hun\x01ter2 \n"], b"hun\x01ter2 ") == ["a [secret]"]


def test_only_the_end_is_kept() -> None:
    assert lines_of([f"{n}\n".encode() for n in range(100)]) == [str(n) for n in range(100)]


@given(cuts=st.lists(st.integers(0, 40), max_size=6).map(sorted))
def test_a_secret_is_hidden_however_the_output_is_cut(cuts: list[int]) -> None:
    text = "before hünter2 after\nnext hünter2\n".encode()
    places = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    shown = lines_of(pieces, "hünter2".encode())
    assert shown == ["before [secret] after", "next [secret]"]
