"""Globs: what each sign stands for, and that none takes for ever."""

from __future__ import annotations

import time

import pytest

from tether_runtime_client.search.globs import GlobError, Globs, expand


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("*.py", ["a.py", "x/y/a.py", ".py"], ["a.pyc", "a.py/b"]),
        ("a?c", ["abc", "d/abc"], ["ac", "abbc"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "a"]),
        ("[!a-c]x", ["dx"], ["ax"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("[]]x", ["]x"], ["x"]),
        (r"[\]]x", ["]x"], ["x"]),
        ("[a", ["[a"], ["a"]),
        ("[z-a]x", [], ["zx", "ax"]),
        (r"\*", ["*"], ["a"]),
        ("src/*.py", ["src/a.py"], ["a.py", "x/src/a.py", "src/x/a.py"]),
        ("/a", ["a"], ["b/a"]),
        ("**/a", ["a", "x/a", "x/y/a"], ["ab"]),
        ("src/**", ["src/a", "src/a/b"], ["src", "lib/src/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("*.{ts,tsx}", ["a.ts", "a.tsx"], ["a.t", "a.{ts,tsx}"]),
        ("{a,b{1,2}}", ["a", "b1", "b2"], ["b"]),
        ("{a}", ["{a}"], ["a"]),
        ("*a*b*c", ["abc", "xaybzc", "aabbcc"], ["acb", "ab/c"]),
        ("a\nb", ["a\nb"], ["a"]),
        ("\udcff*", ["\udcffa"], ["a"]),
    ],
)
def test_what_a_glob_stands_for(glob: str, matching: list[str], other: list[str]) -> None:
    globs = Globs([glob])
    for path in matching:
        assert globs.match(path, path.rpartition("/")[2]), path
    for path in other:
        assert not globs.match(path, path.rpartition("/")[2]), path


def test_any_of_several_and_none_of_none() -> None:
    globs = Globs(["*.py", "docs/*"])
    assert globs.match("a/b.py", "b.py")
    assert globs.match("docs/x", "x")
    assert not globs.match("a/docs/x", "x")
    assert not Globs([]).match("a", "a")


def test_braces_are_bounded() -> None:
    assert sorted(expand("{a,b}{c,d}")) == ["ac", "ad", "bc", "bd"]
    with pytest.raises(GlobError, match="more than"):
        Globs(["{a,b}" * 40])


def test_no_glob_takes_for_ever() -> None:
    started = time.monotonic()
    assert not Globs(["*a" * 40 + "b"]).match("a" * 250, "a" * 250)
    assert time.monotonic() - started < 5
