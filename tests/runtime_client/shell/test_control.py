from __future__ import annotations

import subprocess

import pytest

from tether_runtime_client.shell import CommandInvalid
from tether_runtime_client.shell.control import (
    Carried,
    ControlLines,
    ReportTo,
    check_request,
)
from tether_runtime_client.shell.descriptors import Descriptors

from .conftest import BASH
from .test_words import TEXTS

LINES = ControlLines(Descriptors(1000))
TO = ReportTo(b"0123456789abcdef")


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
