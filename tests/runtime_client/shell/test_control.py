from __future__ import annotations

import subprocess

import pytest

from tether_runtime_client.shell import CommandInvalid
from tether_runtime_client.shell.control import (
    Carried,
    ControlLines,
    Descriptors,
    ReportTo,
    check_request,
    quote,
)

from .conftest import BASH

LINES = ControlLines(Descriptors(1000))
TO = ReportTo(b"0123456789abcdef")
TEXTS = [
    "",
    "plain",
    "it's",
    "back\\slash \\' \\\\n",
    "new\nline\r\n",
    '$x `y` "z" !',
    "\x01\x02\x7f\x1b\t",
    "žluť 🐎",
    "\udc80\udcff",
    "'" * 50,
    "\\" * 51,
]


@pytest.mark.parametrize("text", TEXTS)
def test_quoted_text_is_one_word_on_one_line(text: str) -> None:
    quoted = quote(text)
    assert b"\n" not in quoted
    script = b"set -- " + quoted + b'; printf %s "$#$1"'
    done = subprocess.run([BASH], input=script, capture_output=True, check=True)
    assert done.stdout == b"1" + text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_nul_is_refused(text: str) -> None:
    with pytest.raises(CommandInvalid):
        quote(text)


@pytest.mark.parametrize(
    ("text", "cwd", "env"),
    [
        ("\0", None, None),
        ("true", "", None),
        ("true", "a\0b", None),
        ("true", None, {"": "x"}),
        ("true", None, {"1a": "x"}),
        ("true", None, {"a b": "x"}),
        ("true", None, {"a\n": "x"}),
        ("true", None, {"a": "\0"}),
    ],
)
def test_refused_requests(text: str, cwd: str | None, env: dict[str, str] | None) -> None:
    with pytest.raises(CommandInvalid):
        check_request(text, cwd, env)
    with pytest.raises(CommandInvalid):
        LINES.command(text, TO, Carried(), cwd=cwd, env=env)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "carried",
    [Carried(), Carried(7), Carried(0, b"", "vx"), Carried(7, b"trap -- ':\n:' DEBUG\n", "x")],
)
def test_lines_are_single_and_well_formed(text: str, carried: Carried) -> None:
    to = ReportTo(TO.nonce, 1, "/back dir")
    lines = [
        LINES.command(text, to, carried, cwd="/x y", env={"A": text}),
        LINES.recovery(to, 3),
        LINES.setup(to),
    ]
    for line in lines:
        assert line.strip(b"\n").count(b"\n") == 0
        assert line.startswith(b"\n\n")
    for line in [*lines, LINES.repair(to, 3)]:
        done = subprocess.run([BASH, "-n"], input=line, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_descriptors_do_not_overlap() -> None:
    fds = Descriptors(500)
    block = [fds.terminal, fds.stderr, fds.status, fds.null, *fds.mailboxes]
    assert block == list(range(500, 506))
    assert max(block) < fds.saved_stderr < fds.spare < fds.end


def test_relative_directories_are_not_looked_up() -> None:
    assert b"'./-'" in LINES.command("true", TO, Carried(), cwd="-")
