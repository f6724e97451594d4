"""Ignore rules, held to git itself."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tether_runtime_client.search.ignore import MAX_SIZE, Rules
from tether_runtime_client.search.walk import Walk

RULES = [
    "*.log", "!keep.log", "build/", "/top", "a/b", "a/**", "**/c", "d*", "!d1", "*", "!*/", "/*/x",
    "# comment", "\\#hash", "\\!bang", "with\\ ", "trail  ", "[ab]", "[!a]", "?", "x/", "!x/y", "",
    "a/**/c", "/", "**", "**/x/**", "foo*bar", "b/*/d1", "!a/b/", "w é", "*\\", "[",
]  # fmt: skip
NAMES = [
    "a",
    "b",
    "c",
    "d1",
    "x",
    "y",
    "top",
    "build",
    "keep.log",
    "e.log",
    "#hash",
    "foobar",
    "w é",
]


def ours(top: Path) -> set[str]:
    return {found.path for found in Walk(str(top), ignore=True) if not found.is_folder}


def gits(top: Path) -> set[str]:
    command = ["git", "-C", str(top), "-c", "core.excludesFile=/dev/null", "ls-files", "-z", "-o"]
    done = subprocess.run(
        [*command, "--exclude-per-directory=.gitignore"], capture_output=True, check=True
    )
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def init(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


@pytest.mark.parametrize("seed", range(40))
def test_the_same_files_as_git(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    init(tmp_path)
    folders = [tmp_path]
    for _ in range(12):
        below = chance.choice(folders) / chance.choice(NAMES)
        if not below.exists():
            below.mkdir()
            folders.append(below)
    for folder in folders:
        for name in chance.sample(NAMES, 5):
            if not (folder / name).exists():
                (folder / name).touch()
        if folder == tmp_path or chance.random() < 0.3:
            rules = chance.sample(RULES, 4)
            (folder / ".gitignore").write_text("\n".join(rules) + "\n")
    assert ours(tmp_path) == gits(tmp_path)


def test_rules_of_the_folders_above_count(tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / ".gitignore").write_text("*.log\n/src/gen\n")
    src = tmp_path / "src"
    (src / "gen").mkdir(parents=True)
    for name in ("a.log", "a.py", "gen/x"):
        (src / name).touch()
    assert ours(src) == {"a.py"}
    assert ours(src / "gen") == {"x"}, "what is asked for by name is searched"


def test_rules_above_count_in_a_repository_only(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a").touch()
    assert ours(inside) == {"a"}


def test_a_repository_inside_has_rules_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "inner" / ".git").mkdir(parents=True)
    (tmp_path / "inner" / ".git" / "config").touch()
    (tmp_path / "inner" / "a.log").touch()
    (tmp_path / "b.log").touch()
    assert ours(tmp_path) == {".gitignore", "inner/a.log"}


def test_line_ends_of_windows_and_a_mark(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbf*.log\r\nbuild/\r\n")
    (tmp_path / "a.log").touch()
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "x").touch()
    assert ours(tmp_path) == {".gitignore"}


@pytest.mark.parametrize("kind", ["fifo", "folder", "huge", "no text", "dangling"])
def test_a_file_of_rules_may_be_anything(tmp_path: Path, kind: str) -> None:
    rules = tmp_path / ".gitignore"
    match kind:
        case "fifo":
            os.mkfifo(rules)
        case "folder":
            rules.mkdir()
        case "huge":
            rules.write_bytes(b"#" * MAX_SIZE + b"\n*\n")
        case "no text":
            rules.write_bytes(bytes(range(256)) + b"\xff\xfe[")
        case "dangling":
            rules.symlink_to("nowhere")
    (tmp_path / "file").touch()
    assert "file" in ours(tmp_path)


def test_the_last_rule_counts() -> None:
    rules = Rules(["*.log", "!keep.log", "logs/"])
    assert rules.verdict("x/a.log", "a.log", False) is True
    assert rules.verdict("x/keep.log", "keep.log", False) is False
    assert rules.verdict("logs", "logs", True) is True
    assert rules.verdict("logs", "logs", False) is None
