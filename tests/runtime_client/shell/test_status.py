from __future__ import annotations

import random
import time

import pytest

from tether_runtime_client.shell.status import StatusParser, StatusRecord

NONCE = b"0123456789abcdef"


def report(
    code: int = 0,
    repeat: int = 0,
    flags: str = "himBs",
    cwd: bytes = b"/",
    limit: bytes = b"",
    last: bytes = b"",
) -> bytes:
    head = b"%s %d %d %s " % (NONCE, repeat, code, flags.encode())
    return head + NONCE + cwd + NONCE + limit + NONCE + last + NONCE + b"\n"


@pytest.fixture
def parser() -> StatusParser:
    parser = StatusParser()
    parser.expect(NONCE)
    return parser


def test_one_report(parser: StatusParser) -> None:
    assert parser.feed(report(3, cwd=b"/a b", limit=b"60")) == [
        StatusRecord(3, "himBs", "/a b", idle_limit="60", traps=b"", repeat=0, torn=False)
    ]
    assert parser.discarded == 0


def test_reports_in_pieces_of_any_size() -> None:
    data = report(1) + report(2, repeat=1) + report(255, repeat=12)
    for size in range(1, len(data)):
        parser = StatusParser()
        parser.expect(NONCE)
        pieces = [data[n : n + size] for n in range(0, len(data), size)]
        records = [record for piece in pieces for record in parser.feed(piece)]
        assert [(r.exit_code, r.repeat) for r in records] == [(1, 0), (2, 1), (255, 12)]
        assert parser.discarded == 0


@pytest.mark.parametrize("cwd", [b"/a\nb", b"/\xff", b"/ 0 0 x ", "/🐎".encode(), b""])
def test_directories(parser: StatusParser, cwd: bytes) -> None:
    (record,) = parser.feed(report(cwd=cwd))
    assert record.cwd.encode("utf-8", "surrogateescape") == cwd


def test_torn(parser: StatusParser) -> None:
    (record,) = parser.feed(report(repeat=2).replace(b" 2 0 ", b" 2 x130 "))
    assert (record.exit_code, record.repeat, record.torn) == (130, 2, True)


def set_again(traps: bytes) -> bytes:
    """By bash's own `trap`, whatever function may have that name."""
    return traps.replace(b"trap --", b"\\builtin trap --")


@pytest.mark.parametrize("last", ["", "a b\n", "/\udcff", "x" * 8001])
def test_the_last_word(parser: StatusParser, last: str) -> None:
    (record,) = parser.feed(report(last=last.encode("utf-8", "surrogateescape")))
    assert record.last_word == last


def test_what_posix_mode_prints_is_no_trap(parser: StatusParser) -> None:
    (record,) = parser.feed(b"trap -- - DEBUG\ntrap -- - ERR\ntrap -- - INT\n" + report())
    assert (record.traps, record.catches, parser.discarded) == (b"", False, 0)


@pytest.mark.parametrize("name", [b"INT", b"SIGINT"])
@pytest.mark.parametrize("others", [b"", b"trap -- 'a' DEBUG\ntrap -- 'b' ERR\n"])
def test_a_trap_on_interrupts(parser: StatusParser, name: bytes, others: bytes) -> None:
    (record,) = parser.feed(others + b"trap -- 'echo '\\''x' " + name + b"\n" + report())
    assert (record.catches, record.traps, parser.discarded) == (True, set_again(others), 0)
    (record,) = parser.feed(others + report())
    assert not record.catches


def test_no_flags(parser: StatusParser) -> None:
    (record,) = parser.feed(report(flags=""))
    assert record.flags == ""


def test_traps_come_before(parser: StatusParser) -> None:
    traps = b"trap -- 'echo\n$x' DEBUG\ntrap -- 'echo '\\''E'\\''' ERR\n"
    (record,) = parser.feed(b"junk\0" + traps + report())
    assert record.traps == set_again(traps)
    assert parser.discarded == 5


@pytest.mark.parametrize(
    "junk",
    [
        b"x",
        b"\0" * 100,
        b"fedcba9876543210 0 0 h fedcba9876543210/fedcba9876543210fedcba9876543210\n",
        NONCE[:-1],
        bytes(range(256)),
    ],
)
def test_what_is_not_ours_is_dropped_and_counted(parser: StatusParser, junk: bytes) -> None:
    assert parser.feed(junk) == []
    (record,) = parser.feed(report(7))
    assert record.exit_code == 7
    assert parser.discarded == len(junk)


def test_a_guessed_nonce_without_a_report(parser: StatusParser) -> None:
    forged = NONCE + b" x y z " + NONCE + b"/" + NONCE + NONCE + b"\n"
    records = parser.feed(forged + report(7))
    assert [record.exit_code for record in records] == [7]
    assert parser.discarded > 0


@pytest.mark.parametrize("code", ["256", "-1", "9999999999", "9" * 5000, ""])
def test_what_no_shell_reports_is_no_report(parser: StatusParser, code: str) -> None:
    forged = report().replace(b" 0 0 ", b" 0 %s " % code.encode())
    assert [record.exit_code for record in parser.feed(forged + report(255))] == [255]


def test_another_commands_report_is_dropped(parser: StatusParser) -> None:
    parser.expect(b"f" * 16)
    assert parser.feed(report(7)) == []


@pytest.mark.parametrize(
    "traps",
    [
        b"trap -- '' DEBUG\n",
        b"trap -- $'a\\'b' ERR\n",
        b"trap -- 'a\n'\\'' DEBUG\n'\\''' DEBUG\ntrap -- 'b' ERR\n",
    ],
)
def test_any_trap(parser: StatusParser, traps: bytes) -> None:
    (record,) = parser.feed(traps + report())
    assert (record.traps, parser.discarded) == (set_again(traps), 0)


@pytest.mark.parametrize(
    "junk", [b"trap -- ", b"trap -- '", b"trap -- ''", b"'\\''", b"trap -- $'"]
)
def test_unfinished_traps_cost_no_time(parser: StatusParser, junk: bytes) -> None:
    began = time.process_time()
    (record,) = parser.feed(junk * (60_000 // len(junk)) + report(9))
    assert (record.exit_code, record.traps) == (9, b"")
    assert time.process_time() - began < 1  # a millisecond or so; it was eight seconds


def test_floods_are_bounded(parser: StatusParser) -> None:
    for _ in range(100):
        assert parser.feed(b"x" * 10_000) == []
    assert len(parser._buffer) <= 64 * 1024
    (record,) = parser.feed(report(7))
    assert record.exit_code == 7
    assert parser.discarded == 1_000_000


def test_random_junk_never_breaks_it() -> None:
    chance = random.Random(3)
    for _ in range(300):
        parser = StatusParser()
        parser.expect(NONCE)
        junk = bytes(chance.choice(b"\0\n 0123456789abcdefx") for _ in range(chance.randrange(80)))
        records = parser.feed(junk) + parser.feed(report(9))
        assert [record.exit_code for record in records] == [9]
