"""Text as words of shell language, as a real bash reads them."""

from __future__ import annotations

import re
import subprocess

import pytest

from tether_runtime_client.shell import CommandInvalid
from tether_runtime_client.shell.words import assignments, plain_path, quote

from .conftest import BASH

TEXTS = [
    "",
    "plain",
    "it's",
    "back\\slash \\' \\\\n",
    "new\nline\r\n",
    '$x `y` "z" !',
    "\x01\x02\x7f\x1b\t",
    "žluť 🐎",
    "日'表\\日\n日",
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


@pytest.mark.parametrize("text", ["日'", "表\\", "日\n", "a日", "日b'c表''", "\udcb5"])
def test_no_backslash_of_ours_could_be_a_part_of_a_character(text: str) -> None:
    """In GBK and BIG5 it could, behind a byte that is no ASCII."""
    assert re.search(rb"[\x80-\xff](\\|'$)", quote(text)) is None


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_nul_is_refused(text: str) -> None:
    with pytest.raises(CommandInvalid):
        quote(text)


@pytest.mark.parametrize("text", TEXTS)
def test_an_assignment_holds_for_one_command(text: str) -> None:
    script = b'%bbash -c \'printf %%s "$A"\'; printf %%s "${A-}"' % assignments({"A": text})
    done = subprocess.run([BASH], input=script, capture_output=True, check=True)
    assert done.stdout == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("path", "plain"), [("/a", "/a"), ("-", "./-"), ("a/b", "./a/b")])
def test_a_path_is_taken_as_it_is(path: str, plain: str) -> None:
    assert plain_path(path) == plain
