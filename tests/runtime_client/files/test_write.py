"""Writing: in one step, keeping what the file was, appending all or nothing."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.files import (
    AlreadyExists,
    DanglingLink,
    DiskFull,
    FileMissing,
    IsADirectory,
    NotADirectory,
    NotAFile,
    ReadOnly,
    Written,
    append_file,
    write_file,
)

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount and give away")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_file(str(path), b"a\0b") == Written(str(path), 3, created=True)
    assert path.read_bytes() == b"a\0b"
    assert mode_of(path) == 0o666 & ~_umask()
    write_file(str(tmp_path / "other"), b"", mode=0o755)
    assert mode_of(tmp_path / "other") == 0o755


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o751)
    assert not write_file(str(path), b"new").created
    assert (path.read_text(), mode_of(path)) == ("new", 0o751)
    write_file(str(path), b"new", mode=0o600)
    assert mode_of(path) == 0o600
    assert os.listdir(tmp_path) == ["file"]


@root_only
def test_existing_file_keeps_owner_set_id_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, 1234, 5678)
    path.chmod(0o4755)
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    write_file(str(path), b"new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, mode_of(path)) == (1234, 5678, 0o4755)
    assert os.getxattr(path, "user.note") == b"kept"


def test_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "target").write_text("old")
    (tmp_path / "link").symlink_to("folder/target")
    write_file(str(tmp_path / "link"), b"new")
    append_file(str(tmp_path / "link"), b"er")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "target").read_text() == "newer"


def test_reader_sees_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        write_file(str(path), b"new")
        assert reader.read() == "old"


def test_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for write in (write_file, append_file):
        with pytest.raises(FileMissing, match=r"the directory .* does not exist"):
            write(str(path), b"x")
    write_file(str(path), b"x", make_parents=True)
    append_file(str(tmp_path / "c" / "d"), b"x", make_parents=True)
    assert path.read_bytes() == (tmp_path / "c" / "d").read_bytes() == b"x"


def test_only_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_file(str(path), b"x", only_new=True).created
    with pytest.raises(AlreadyExists):
        write_file(str(path), b"y", only_new=True)
    assert path.read_bytes() == b"x"


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file("file", b"x")
    append_file("file", b"y")
    assert (tmp_path / "file").read_bytes() == b"xy"


def test_append(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert append_file(str(path), b"a", mode=0o640) == Written(str(path), 1, created=True)
    assert append_file(str(path), b"bc", mode=0o777) == Written(str(path), 3, created=False)
    assert (path.read_bytes(), mode_of(path)) == (b"abc", 0o640)


@pytest.mark.parametrize("write", [write_file, append_file])
def test_each_trouble_has_its_error(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (
        (".", IsADirectory),
        ("file/below", NotADirectory),
        ("dangling", DanglingLink),
        ("pipe", NotAFile),
    ):
        with pytest.raises(kind):
            write(str(tmp_path / name), b"x")
    with pytest.raises(NotAFile):
        write("/dev/null", b"x")
    with pytest.raises(NotADirectory):
        write(str(tmp_path / "file" / "a" / "b"), b"x", make_parents=True)
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "pipe"]


# Where a rename is refused


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_leaves_the_old(small: Path) -> None:
    (small / "file").write_bytes(b"x" * 600_000)
    with pytest.raises(DiskFull, match="no space is left"):
        write_file(str(small / "file"), b"y" * 600_000)
    with pytest.raises(DiskFull):
        append_file(str(small / "file"), b"y" * 600_000)
    assert (small / "file").read_bytes() == b"x" * 600_000
    assert os.listdir(small) == ["file"]


def test_mounted_file_is_written_in_place(small: Path, tmp_path: Path) -> None:
    """As /etc/hosts and /etc/resolv.conf are in a container."""
    (small / "hosts").write_text("longer than the new\n")
    (tmp_path / "hosts").touch()
    bind = ["mount", "--bind", str(small / "hosts"), str(tmp_path / "hosts")]
    subprocess.run(bind, check=True)
    try:
        written = write_file(str(tmp_path / "hosts"), b"new\n", mode=0o600)
        assert not written.atomic
        assert (small / "hosts").read_text() == "new\n"
        assert mode_of(small / "hosts") == 0o600
        assert sorted(os.listdir(tmp_path)) == ["hosts", "small"]
    finally:
        subprocess.run(["umount", str(tmp_path / "hosts")], check=True)


def test_a_folder_that_takes_no_new_files(tmp_path: Path) -> None:
    """What the kernel makes up cannot be replaced, and can be written."""
    path = "/proc/self/oom_score_adj"
    before = Path(path).read_text()
    written = write_file(path, before.encode())
    assert (written.created, written.atomic) == (False, False)


def test_read_only_file_system(small: Path) -> None:
    (small / "file").write_text("x")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for name in ("file", "new"):
        with pytest.raises(ReadOnly):
            write_file(str(small / name), b"y")
    with pytest.raises(ReadOnly):
        append_file(str(small / "file"), b"y")


@root_only
def test_owner_that_cannot_be_kept_is_kept_by_writing_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, 1234, 1234)

    def refuse(*args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    assert not write_file(str(path), b"n").atomic
    assert (path.read_text(), path.stat().st_uid) == ("n", 1234)


def test_failed_write_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(Exception, match="Input/output error"):
        write_file(str(tmp_path / "file"), b"x")
    assert os.listdir(tmp_path) == []
