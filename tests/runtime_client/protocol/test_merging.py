"""Moving a complete tree over one that is there, and removing one that is given up."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.merging import merge_tree, remove_tree, temporary_name


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    folder = tmp_path / "stage"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "deep" / "file").write_text("new")
    (folder / "file").write_text("new")
    (folder / "link").symlink_to("file")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


ALL = ["file", "link", "sub", "sub/deep", "sub/deep/file"]


def test_into_an_empty_folder(stage: Path, target: Path) -> None:
    merge_tree(stage, target)
    assert everything(target) == ALL
    assert everything(stage) == []


def test_over_what_is_there(stage: Path, target: Path) -> None:
    (target / "sub").mkdir(mode=0o700)
    (target / "sub" / "old").write_text("old")
    (target / "file").symlink_to("sub/old")
    (target / "link").write_text("old")
    merge_tree(stage, target)
    assert everything(target) == sorted([*ALL, "sub/old"])
    assert (target / "sub" / "old").read_text() == "old", "the link was replaced, not followed"
    assert (target / "file").read_text() == "new"
    assert (target / "link").is_symlink()
    assert stat.S_IMODE((target / "sub").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "error"), [("file", e.PathIsADirectory), ("sub", e.PathNotADirectory)]
)
def test_nothing_is_moved_when_something_is_in_the_way(
    stage: Path, target: Path, name: str, error: type[e.FileError]
) -> None:
    if name == "file":
        (target / name).mkdir()
    else:
        (target / name).symlink_to("/etc")
    with pytest.raises(error) as caught:
        merge_tree(stage, target)
    assert caught.value.data == {"path": str(target / name)}
    assert everything(target) == [name]
    assert everything(stage) == ALL


@pytest.fixture
def mount(target: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    folder = target / "sub"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    return folder


def test_into_a_folder_where_something_is_mounted(stage: Path, target: Path, mount: Path) -> None:
    (stage / "sub" / "one").write_text("1")
    (stage / "sub" / "one").chmod(0o741)
    (stage / "sub" / "link").symlink_to("one")
    (mount / "one").write_text("old")
    try:
        merge_tree(stage, target)
        assert everything(target) == sorted([*ALL, "sub/link", "sub/one"])
        assert (mount / "one").read_text() == "1"
        assert stat.S_IMODE((mount / "one").stat().st_mode) == 0o741
        assert os.readlink(mount / "link") == "one"
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def test_a_mounted_folder_that_is_full(stage: Path, target: Path, mount: Path) -> None:
    (stage / "sub" / "big").write_bytes(bytes(3_000_000))
    try:
        with pytest.raises(OSError, match="No space left"):
            merge_tree(stage, target)
        assert not [path for path in mount.iterdir() if path.name.startswith(".tether-")]
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


AS_NOBODY = """
import os, sys
from pathlib import Path
from tether_runtime_client.protocol.merging import merge_tree, remove_tree
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.chdir(sys.argv[1])
for name in ("stage", "target"):
    Path(name).mkdir()
Path("stage/closed/below").mkdir(parents=True)
Path("stage/closed/below/file").write_text("x")
Path("stage/closed/below").chmod(0)
Path("stage/closed").chmod(0o555)
merge_tree(Path("stage"), Path("target"))
print(oct(os.stat("target/closed").st_mode & 0o777))
remove_tree(Path("target"))
remove_tree(Path("stage"))
print(os.listdir("."))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_folders_without_the_right_to_write(tmp_path: Path) -> None:
    """Root may do anything, so somebody else has to try."""
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    seen = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, home], capture_output=True, text=True, check=False
    )
    assert (seen.stdout, seen.stderr) == ("0o555\n[]\n", "")


def test_removing(stage: Path) -> None:
    remove_tree(stage / "link")
    remove_tree(stage / "file")
    assert everything(stage) == ["sub", "sub/deep", "sub/deep/file"]
    remove_tree(stage)
    assert not stage.exists()
    remove_tree(stage)


def test_temporary_names_differ() -> None:
    assert temporary_name() != temporary_name()
    assert len(temporary_name()) < 40
