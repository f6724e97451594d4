"""Globs: what each sign stands for, and that none takes for ever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.globs import GlobError, Globs, expand
from tether_runtime_client.protocol.selection import Selection


def matches(globs: Globs, path: str, *, folder: bool = False) -> bool:
    return globs.match(path, path.rpartition("/")[2], folder=folder)


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
        ("a/**/b/**/c", ["a/b/c", "a/b/b/c", "a/x/b/y/b/z/c"], ["a/c", "a/b/x", "b/a/b/c"]),
        ("**/a/**", ["a/x", "x/a/y/z"], ["a", "x/a"]),
        ("a/**/**/b", ["a/b", "a/x/y/b"], ["b", "a/b/x"]),
        ("**/**", ["a", "a/b"], []),
        ("**/a/**/a", ["a/a", "a/x/a/a"], ["a", "x/a"]),
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
        assert matches(globs, path), path
    for path in other:
        assert not matches(globs, path), path


def test_any_of_several_and_none_of_none() -> None:
    globs = Globs(["*.py", "docs/*"])
    assert matches(globs, "a/b.py")
    assert matches(globs, "docs/x")
    assert not matches(globs, "a/docs/x")
    assert not matches(Globs([]), "a")


def test_a_slash_at_the_end_is_about_folders() -> None:
    globs = Globs(["cache/", "src/**/out/", "*.py"])
    for path in ("cache", "a/cache", "src/out", "src/a/out", "a.py"):
        assert matches(globs, path, folder=True), path
        assert matches(globs, path) == (path == "a.py"), path


def test_braces_are_bounded() -> None:
    with pytest.raises(GlobError, match="stand for more than"):
        Globs(["{a,b}" * 6] * 20)
    assert sorted(expand("{a,b}{c,d}")) == ["ac", "ad", "bc", "bd"]
    with pytest.raises(GlobError, match="more than"):
        Globs(["{a,b}" * 40])


@pytest.mark.parametrize(
    "glob", ["*a" * 40 + "b", "**/a/" * 40 + "b", "**/" * 40 + "b", "**/*a*/" * 40 + "b"]
)
def test_no_glob_takes_for_ever(glob: str) -> None:
    started = time.monotonic()
    assert not matches(Globs([glob]), "a" * 250)
    assert not matches(Globs([glob]), "/".join(["a"] * 250))
    assert time.monotonic() - started < 5


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=6)
parts = st.lists(st.sampled_from(["**", "*", "a", "b", "*a", "?"]), min_size=2, max_size=6)


@settings(max_examples=500, deadline=None)
@given(names, parts)
def test_a_path_is_chosen_for_a_copy_by_the_same_rule(way: list[str], parts: list[str]) -> None:
    """The two go about it in different ways: by an expression, and part by part.

    Not at the end: to a copy `src/**` is the folder too that everything in it needs.
    """
    glob = "/" + "/".join([*parts, "*"] if parts[-1] == "**" else parts)
    selection = Selection(include=[glob])
    assert matches(Globs([glob]), "/".join(way)) == selection.includes(tuple(way), folder=False)
