"""`tether cp`: files and trees, beside a server that goes on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_server import CmdRunAction, SyncEventStreamRuntime
from tether_server.cli.cp import Source, source, split
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
    assert said(done.stderr).endswith(" as an archive\n")
    assert same_tree(there / "copy")
    assert tether("cp", "-qr", f"live:{there}/copy", str(here / "back")).stderr == b""
    assert same_tree(here / "back")
    assert live.run(CmdRunAction(command="echo undisturbed")).content == "undisturbed\n"


def test_into_a_folder_that_is_there(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    assert tether("cp", str(here / "tree" / "file"), f"live:{there}").returncode == 0
    assert (there / "file").read_bytes() == b"\0content\xff"
    assert tether("cp", f"live:{there}/file", f"{here}/new/folders/copy").returncode == 0
    assert (here / "new/folders/copy").read_bytes() == b"\0content\xff"
    assert tether("cp", f"live:{there}/file", str(here)).returncode == 0
    assert (here / "file").read_bytes() == b"\0content\xff"


def test_a_slash_at_the_end_means_a_folder(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    inward = tether("cp", str(here / "tree" / "file"), f"live:{there}/none/")
    assert (inward.returncode, list(there.iterdir())) == (125, [])
    assert "no folder" in said(inward.stderr)
    assert "Make it first, or leave out the slash" in said(inward.stderr)
    outward = tether("cp", f"live:{here}/tree/file", f"{here}/none/")
    assert outward.returncode == 125


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "one of SRC and DST"),
        (("nobody:a", "nobody:b"), "no sandbox named 'nobody'"),
        (("a", "b", "nobody:c"), "no sandbox named 'nobody'"),
        (("x:*.py", "b", "--include", "a"), "has a wildcard"),
        (("x:a", "b", "--links", "perhaps"), "'perhaps' is not one of"),
        (("nobody:a", "b"), "no sandbox named 'nobody'"),
        (("nobody:a", "-"), "cat FILE` writes to standard output"),
        (("-", "nobody:a"), "sh -c 'cat > FILE'` takes standard input"),
    ],
)
def test_what_cannot_be_is_said(tether: Tether, words: tuple[str, str], message: str) -> None:
    done = tether("cp", *words)
    assert done.returncode == 125
    assert message in said(done.stderr)


def test_what_has_no_name_needs_one(tether: Tether, live: SyncEventStreamRuntime) -> None:
    done = tether("cp", "live:/", ".")
    assert done.returncode == 125
    assert "no name of its own" in said(done.stderr)


def test_several_at_once(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    words = (f"{here}/tree/file", f"{here}/tree/script", f"live:{there}")
    done = tether("cp", *words)
    assert (done.returncode, said(done.stderr)) == (0, "copied 2 files, 19 bytes\n")
    assert sorted(path.name for path in there.iterdir()) == ["file", "script"]
    refused = tether("cp", *words[:2], f"live:{there}/none")
    assert refused.returncode == 125
    assert "no folder" in said(refused.stderr)
    assert "or copy one at a time" in said(refused.stderr)
    assert sorted(path.name for path in there.iterdir()) == ["file", "script"]


def test_a_wildcard_in_a_sandbox(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    for name in ("a.log", "b.log", "c.txt", "sub/d.log"):
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_text(name)
    assert tether("cp", "-q", f"live:{there}/*.log", f"{here}/logs").returncode == 0
    assert sorted(path.name for path in (here / "logs").iterdir()) == ["a.log", "b.log"]
    assert tether("cp", "-q", f"live:{there}/**/*.log", f"{here}/deep").returncode == 0
    assert sorted(path.name for path in (here / "deep").rglob("*.log")) == [
        *("a.log", "b.log", "d.log")
    ]
    none = tether("cp", f"live:{there}/d*.log", f"{here}/none")
    assert none.returncode == 125
    assert "nothing in" in said(none.stderr)
    assert "`**/` before it goes deeper" in said(none.stderr)
    assert not (here / "none").exists()


def test_chosen_by_patterns(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    for name in ("a.py", "sub/b.py", "sub/c.txt", "cache/d.py"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(name)
    options = ("--include", "*.py", "--exclude", "cache/")
    assert tether("cp", *options, f"{here}", f"live:{there}/some").returncode == 0
    copied = sorted(str(p.relative_to(there / "some")) for p in (there / "some").rglob("*"))
    assert copied == ["a.py", "sub", "sub/b.py"]


def test_from_one_sandbox_to_another(
    tether: Tether, kept: SandboxRecord, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    done = tether("cp", f"live:{here}/tree", f"kept:{there}")
    assert (done.returncode, done.stdout) == (0, b"")
    assert said(done.stderr).startswith("copied 2 files, ")
    assert same_tree(there / "tree")
    assert tether("cp", "-q", f"live:{here}/tree", f"live:{there}/within").returncode == 0
    assert same_tree(there / "within")
    missing = tether("cp", f"live:{here}/none", f"kept:{there}/x")
    assert missing.returncode == 125
    assert f"{here}/none" in said(missing.stderr)


def test_what_becomes_of_links_that_lead_out(
    tether: Tether, live: SyncEventStreamRuntime, here: Path, there: Path
) -> None:
    (here / "outside").write_text("from outside")
    (here / "tree" / "out").symlink_to("../outside")
    for choice, told in (
        ("keep", "copied: out (a link that leads out of the tree)"),
        ("skip", "left out: out (a link that leads out of the tree)"),
        ("follow", "copied: out (a link that was followed out of the tree)"),
    ):
        done = tether("cp", "--links", choice, f"{here}/tree", f"live:{there}/{choice}")
        assert (done.returncode, told in said(done.stderr)) == (0, True), said(done.stderr)
    assert (there / "keep" / "out").readlink() == Path("../outside")
    assert not (there / "skip" / "out").is_symlink()
    assert (there / "follow" / "out").read_text() == "from outside"
    assert (there / "follow" / "link").read_bytes() == b"\0content\xff"
    assert not (there / "follow" / "link").is_symlink()


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


def test_a_path_that_was_forgotten_is_not_all_there_is(tether: Tether, tmp_path: Path) -> None:
    done = tether("cp", "name:", str(tmp_path))
    assert done.returncode == 125
    assert "name: names no path" in said(done.stderr)


def test_source() -> None:
    assert source("name:/srv/a", ("x",)) == Source("name", "/srv/a")
    assert source("./*.py") == Source(None, "./*.py")
    assert source("name:/srv/*/b[0-9]") == Source("name", "/srv", ("/*/b[0-9]",))
    assert source("name:*.py") == Source("name", ".", ("/*.py",))


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
