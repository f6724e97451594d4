"""`tether cp`: files and trees, beside a server that goes on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_server import CmdRunAction, SyncEventStreamRuntime
from tether_server.cli.cp import split
from tether_server.record import SandboxRecord

from .conftest import Tether, said


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A tree to copy, and a place to copy to."""
    tree = tmp_path / "here" / "tree"
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(b"\0content\xff")
    (tree / "script").write_text("#!/bin/sh\n")
    (tree / "script").chmod(0o755)
    (tree / "link").symlink_to("file")
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder 'in' the sandbox: a local one shares this machine's files."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def same_tree(copy: Path) -> bool:
    return (
        (copy / "file").read_bytes() == b"\0content\xff"
        and (copy / "script").stat().st_mode & 0o777 == 0o755
        and (copy / "link").readlink() == Path("file")
    )


def test_in_and_out_beside_a_running_server(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    done = tether("cp", str(here / "tree"), f"live:{there}/copy")
    assert (done.returncode, done.stdout) == (0, b"")
    assert said(done.stderr).startswith("copied 2 files, ")
    assert same_tree(there / "copy")
    assert tether("cp", "-q", f"live:{there}/copy", str(here / "back")).stderr == b""
    assert same_tree(here / "back")
    assert live.run(CmdRunAction(command="echo undisturbed")).content == "undisturbed\n"


def test_into_a_folder_that_is_there(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    assert tether("cp", str(here / "tree" / "file"), f"live:{there}").returncode == 0
    assert (there / "file").read_bytes() == b"\0content\xff"
    assert tether("cp", f"live:{there}/file", str(here)).returncode == 0
    assert (here / "file").read_bytes() == b"\0content\xff"


def test_a_slash_at_the_end_means_a_folder(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    inward = tether("cp", str(here / "tree" / "file"), f"live:{there}/none/")
    assert (inward.returncode, list(there.iterdir())) == (125, [])
    assert "no folder" in said(inward.stderr)
    outward = tether("cp", f"live:{here}/tree/file", f"{here}/none/")
    assert outward.returncode == 125


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "one of SRC and DST"),
        (("x:a", "y:b"), "one of SRC and DST"),
        (("nobody:a", "b"), "no sandbox named 'nobody'"),
        (("nobody:/", "."), "no name of its own"),
    ],
)
def test_what_cannot_be_is_said(tether: Tether, words: tuple[str, str], message: str) -> None:
    done = tether("cp", *words)
    assert done.returncode == 125
    assert message in said(done.stderr)


def test_missing_on_either_side(
    tether: Tether, live: SyncEventStreamRuntime, tmp_path: Path
) -> None:
    for words in ((f"live:{tmp_path}/none", str(tmp_path / "x")), (f"{tmp_path}/none", "live:/x")):
        done = tether("cp", "-q", *words)
        assert done.returncode == 125
        assert f"{tmp_path}/none" in said(done.stderr)


def test_split() -> None:
    assert split("name:/a:b") == ("name", "/a:b")
    assert split("name:") == ("name", ".")
    assert split("./a:b") == (None, "./a:b")
    assert split("/a:b") == (None, "/a:b")
    assert split("Upper:b") == (None, "Upper:b")


@pytest.mark.engine
def test_containers(debian: str, tether: Tether, here: Path) -> None:
    with SyncEventStreamRuntime(debian) as runtime:
        done = tether("cp", str(here / "tree"), f"{runtime.name}:/srv")
        assert done.returncode == 0, done.stderr
        assert runtime.exec(["cat", "/srv/tree/link"]).stdout == b"\0content\xff"
        tether("cp", f"{runtime.name}:/srv/tree", str(here / "back"))
    assert same_tree(here / "back")


@pytest.mark.parametrize("target", ["/etc/hosts", "../outside"])
def test_a_link_out_of_the_tree_is_refused_with_a_way_on(
    tether: Tether, kept: SandboxRecord, tmp_path: Path, target: str
) -> None:
    (tree := tmp_path / "tree").mkdir()
    (tree / "inside").symlink_to("file")
    (tree / "file").touch()
    (tree / "out").symlink_to(target)
    for places in ([f"{tree}", f"kept:{tmp_path}/in"], [f"kept:{tree}", f"{tmp_path}/back"]):
        done = tether("cp", *places)
        assert done.returncode == 125
        assert f"is a link to '{target}', which" in said(done.stderr)
        assert "links to places inside the tree are copied" in said(done.stderr)
    (tree / "out").unlink()
    assert tether("cp", f"{tree}", f"kept:{tmp_path}/whole").returncode == 0
    assert (tmp_path / "whole" / "inside").readlink() == Path("file")
