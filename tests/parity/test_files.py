"""Files and trees, over SFTP and over Tether."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from .conftest import BEYOND_SSH
from .doors import Door

TIME = 1_600_000_000
ODD = [
    "two words",
    "-dash",
    "new\nline",
    "tab\there",
    "ünïcödé 🎉",
    "quote'\"s",
    "$x`y`",
    "*?[",
]


async def test_a_file_goes_in_and_out_with_mode_and_time(
    door: Door, folder: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_001))
    source.chmod(0o640)
    os.utime(source, (TIME, TIME))
    await door.put(source, f"{folder}/there")
    assert await door.output(f"stat -c '%a %Y %s' {folder}/there") == f"640 {TIME} 300001\n"
    await door.get(f"{folder}/there", tmp_path / "back")
    back = tmp_path / "back"
    assert back.read_bytes() == source.read_bytes()
    assert (stat.S_IMODE(back.stat().st_mode), back.stat().st_mtime) == (0o640, TIME)


@pytest.mark.parametrize("size", [0, 1, 64_000_000])
async def test_a_file_of_any_size(door: Door, folder: str, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes((os.urandom(1_000_000) * 64)[:size])
    await door.put(source, f"{folder}/there")
    await door.get(f"{folder}/there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


async def test_a_file_replaces_another(door: Door, folder: str, tmp_path: Path) -> None:
    await door.output(f"yes long | head -c 100000 >{folder}/there")
    (tmp_path / "source").write_text("short")
    await door.put(tmp_path / "source", f"{folder}/there")
    assert await door.output(f"cat {folder}/there") == "short"


@BEYOND_SSH  # asyncssh cannot keep the times of a tree that has a symbolic link
async def test_a_tree_goes_in_as_it_is(door: Door, folder: str, tmp_path: Path) -> None:
    await door.put(_make_tree(tmp_path / "tree"), f"{folder}/tree")
    shown = await door.output(
        f"cd {folder}/tree && stat -c '%n %F %a' . empty run.sh deep/er && stat -c %Y deep/er/file"
        " && readlink link && readlink dangling && readlink to-folder && cat link && ./run.sh"
    )
    assert shown.replace("regular file", "file").splitlines() == [
        ". directory 755",
        "empty directory 750",
        "run.sh file 755",
        "deep/er directory 755",
        str(TIME),
        *("deep/er/file", "nowhere", "deep"),
        "words",
        "ran",
    ]


@BEYOND_SSH
async def test_a_tree_comes_out_as_it_is(door: Door, folder: str, tmp_path: Path) -> None:
    await door.put(_make_tree(tmp_path / "tree"), f"{folder}/tree")
    back = tmp_path / "back"
    await door.get(f"{folder}/tree", back)
    assert _described(back) == _described(tmp_path / "tree")


async def test_odd_names(door: Door, folder: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ODD:
        (tree / name).write_text(name)
    await door.put(tree, f"{folder}/tree")
    assert await door.names(f"{folder}/tree") == dict.fromkeys(ODD, "file")
    await door.get(f"{folder}/tree", tmp_path / "back")
    assert {path.name: path.read_text() for path in (tmp_path / "back").iterdir()} == {
        name: name for name in ODD
    }


async def test_a_name_that_is_no_text(door: Door, folder: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / os.fsdecode(b"caf\xe9")).write_text("x")
    await door.put(tree, f"{folder}/tree")
    assert await door.output(f"cat {folder}/tree/\"$(printf 'caf\\351')\"") == "x"
    await door.get(f"{folder}/tree", tmp_path / "back")
    assert _described(tmp_path / "back") == _described(tree)


async def test_many_small_files(door: Door, folder: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(500):
        path = tree / f"{number % 20}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    await door.put(tree, f"{folder}/tree")
    assert await door.output(f"find {folder}/tree -type f | wc -l | tr -d ' '") == "500\n"
    await door.get(f"{folder}/tree", tmp_path / "back")
    assert _described(tmp_path / "back") == _described(tree)


async def test_a_list_tells_kinds(door: Door, folder: str) -> None:
    await door.output(f"cd {folder} && mkdir d && touch f && ln -s nowhere l")
    assert await door.names(folder) == {"d": "directory", "f": "file", "l": "link"}


async def test_what_is_not_there_is_an_error(door: Door, folder: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"(?i)no such file|there is nothing"):
        await door.get(f"{folder}/nothing", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def _make_tree(root: Path) -> Path:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o750)
    file = root / "deep" / "er" / "file"
    file.write_text("words\n")
    os.utime(file, (TIME, TIME))
    script = root / "run.sh"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    (root / "link").symlink_to("deep/er/file")
    (root / "dangling").symlink_to("nowhere")
    (root / "to-folder").symlink_to("deep")
    return root


def _described(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        what: tuple[object, ...] = (stat.filemode(status.st_mode),)
        if path.is_symlink():
            what = ("link", os.readlink(path))
        elif path.is_file():
            what = (*what, int(status.st_mtime), path.read_bytes())
        found[str(path.relative_to(root))] = what
    return found
