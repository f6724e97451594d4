"""From terminal bytes to text: what is removed, what is kept, and at what cost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol.render import HeadTail, omission, render, unfinished


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b[?25l\x1b[2K\x1b[1Gx", "x"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bPq#0;1\n~~\x1b\\after", "after"),
        (b"\x1b_Gf=100;AAAA\x1b\\after", "after"),
        (b"\x1b(Bx\x1b=y\x1b>z\x1bMw", "xyzw"),
        (b"\x1b#8x\x1b%Gy", "xy"),
        (b"\x1b7saved\x1b8", "saved"),
        (b"\xff\xfe", "��"),
        ("é€😀".encode(), "é€😀"),
    ],
)
def test_control_sequences_are_removed(log: bytes, text: str) -> None:
    assert render(log) == text


@pytest.mark.parametrize("opener", [b"\x1b]", b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_"])
def test_a_string_that_never_ends_swallows_nothing(opener: bytes) -> None:
    assert render(opener + b"text\nmore\n") == "text\nmore\n"


def test_a_title_does_not_reach_over_a_line() -> None:
    assert render(b"\x1b]0;half\nwhole line\x07\n") == "0;half\nwhole line\x07\n"


def test_an_unfinished_sequence_at_the_end_is_kept() -> None:
    assert render(b"x\x1b[31") == "x\x1b[31"
    assert render(b"x\x1b") == "x\x1b"


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (b"10%\r50%\r100%\ndone\n", "100%\ndone\n"),
        (b"dos\r\nlines\r\n", "dos\r\nlines\r\n"),
        (b"dos\r\r\n", "dos\r\r\n"),
        (b"old\rnew\r\n", "new\r\n"),
        (b"waiting\r", "waiting\r"),
        (b"a\rb\r", "b\r"),
        (b"\r\r", "\r\r"),
        (b"\rx", "x"),
        (b"a\r\r\rb", "b"),
        (b"one\ntwo\rthree\nfour", "one\nthree\nfour"),
        (b"old\x1b[K\rnew", "new"),
    ],
)
def test_rewritten_lines_show_their_last_state(log: bytes, text: str) -> None:
    assert render(log) == text


def test_ansi_keeps_everything() -> None:
    log = b"\x1b[31mred\x1b[0m\r10%\r20%\n"
    assert render(log, ansi=True) == log.decode()


@pytest.mark.parametrize(
    "log",
    [
        b"a\rb\n" + b"x" * 1_000_000,
        b"\r" * 1_000_000,
        b"a\r" * 500_000,
        b"\x1b]" * 500_000,
        b"\x1bP" * 500_000,
        b"\x1b[" + b"1" * 1_000_000,
        b"\x1b[" * 500_000,
        b"\x1b" * 1_000_000,
        b"\n\r" * 500_000,
    ],
    ids=lambda log: repr(log[:6]),
)
def test_the_cost_is_linear(log: bytes) -> None:
    start = time.process_time()
    render(log)
    assert time.process_time() - start < 3.0


@given(st.binary(max_size=200))
def test_it_never_fails_and_leaves_text_as_it_is(log: bytes) -> None:
    text = render(log)
    if b"\x1b" not in log and b"\r" not in log:
        assert text == log.decode("utf-8", "replace")


@given(st.text(alphabet="ab\r\n", max_size=60))
def test_folding_keeps_every_line_and_its_last_state(log: str) -> None:
    lines = render(log.encode()).split("\n")
    assert len(lines) == log.count("\n") + 1
    for before, after in zip(log.split("\n"), lines, strict=True):
        assert before.endswith(after)
        assert "\r" not in after.rstrip("\r")


# --- head and tail ---------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 20))
def test_head_tail_keeps_both_ends_and_counts_the_rest(pieces: list[bytes], half: int) -> None:
    kept = HeadTail(2 * half)
    for piece in pieces:
        kept.write(memoryview(piece))
    whole = b"".join(pieces)
    assert kept.total == len(whole)
    missing = len(whole) - 2 * half
    assert kept.truncated == (missing > 0)
    if missing <= 0:
        assert kept.kept() == whole
    else:
        assert kept.kept() == whole[:half] + omission(missing) + whole[-half:]


def test_head_tail_memory_is_bounded() -> None:
    kept = HeadTail(1000)
    for _ in range(1000):
        kept.write(b"x" * 999)
    assert len(kept.kept()) < 1100
    assert sum(len(getattr(kept, name)) for name in ("_head", "_tail")) <= 2000


@pytest.mark.parametrize(
    ("log", "end"),
    [
        (b"", b""),
        (b"abc", b""),
        ("é🐎".encode(), b""),
        (b"a\xc3", b"\xc3"),
        ("🐎".encode()[:1], "🐎".encode()[:1]),
        (b"a" + "🐎".encode()[:2], "🐎".encode()[:2]),
        (b"a" + "🐎".encode()[:3], "🐎".encode()[:3]),
        (b"\xff", b""),
        (b"\xc3(", b""),
        (b"\xa9", b""),
        (b"a\x1b", b"\x1b"),
        (b"a\x1b[", b"\x1b["),
        (b"\x1b[0m\x1b[1;3", b"\x1b[1;3"),
        (b"\x1b[1m", b""),
        (b"a\x1b]0;title", b"\x1b]0;title"),
        (b"\x1b]0;title\x07", b""),
        (b"\x1b]0;title\n", b""),
        (b"\x1b[" + b"1" * 1000, b""),
    ],
)
def test_what_is_unfinished(log: bytes, end: bytes) -> None:
    assert unfinished(log) == end
