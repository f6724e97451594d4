"""Include and exclude patterns, beside what git itself says of the same ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.protocol.selection import Selection

TREE = (
    "a.py",
    "b.txt",
    "src/",
    "src/a.py",
    "src/deep/",
    "src/deep/a.py",
    "src/deep/c.txt",
    "cache/",
    "cache/x",
    "src/cache/",
    "src/cache/y",
    "odd[1].py",
    "sp ace.py",
    ".hidden",
)


def excluded(pattern: str, path: str) -> bool:
    """Whether the path, or a folder on its way, is left out."""
    selection = Selection(exclude=(pattern,))
    names = tuple(path.rstrip("/").split("/"))
    return any(
        selection.excludes(names[:end], folder=end < len(names) or path.endswith("/"))
        for end in range(1, len(names) + 1)
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "*.py",
        "/*.py",
        "a.py",
        "/a.py",
        "src/a.py",
        "src/*.py",
        "src/**/a.py",
        "**/a.py",
        "**/deep/a.py",
        "src/**",
        "cache/",
        "/cache/",
        "src/cache/",
        "cache",
        "a.py/",
        "?.py",
        "[ab].*",
        "[!a]*",
        "[^a]*",
        r"odd\[1].py",
        "{a,b}.py",
        "odd[[]1].py",
        "sp ace.py",
        ".*",
        "*",
    ],
)
def test_git_says_the_same(tmp_path: Path, pattern: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for path in TREE:
        if path.endswith("/"):
            (tmp_path / path).mkdir(exist_ok=True)
        else:
            (tmp_path / path).touch()
    (tmp_path / ".git" / "info").mkdir(exist_ok=True)
    (tmp_path / ".git" / "info" / "exclude").write_text(f"{pattern}\n")
    command = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "-v", "-n", *TREE]
    done = subprocess.run(command, capture_output=True, text=True)
    said = {line.split("\t")[1]: not line.startswith("::") for line in done.stdout.splitlines()}
    ours = {path: excluded(pattern, path) for path in TREE}
    assert ours == {path: said[f'"{path}"' if f'"{path}"' in said else path] for path in TREE}


@pytest.mark.parametrize("pattern", ["", "/", "//", ".", "./", "..", "a/../b", "../a", "a\0b"])
def test_what_can_match_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="can match nothing"):
        Selection(include=[pattern])


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
ways = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(ways.map(tuple), st.lists(st.sampled_from(["*", "**", "a", "?*"]), min_size=1, max_size=4))
def test_a_folder_on_the_way_to_something_included_is_looked_into(
    way: tuple[str, ...], parts: list[str]
) -> None:
    selection = Selection(include=["/" + "/".join(parts)])
    if selection.includes(way, folder=False):
        assert all(selection.may_include_below(way[:end]) for end in range(len(way)))


def test_many_stars_take_no_time() -> None:
    selection = Selection(exclude=["/".join(["**", "a"] * 200 + ["b"]), "*a" * 50 + "b"])
    assert not selection.excludes(("a",) * 400, folder=False)
    assert not selection.excludes(("a" * 255,), folder=False)
