"""What the kernel says about a path, as the errors users meet."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.os_errors import about, file_error, file_errors, printable

CASES = {
    errno.ENOENT: e.FileMissing,
    errno.EISDIR: e.PathIsADirectory,
    errno.ENOTDIR: e.PathNotADirectory,
    errno.EACCES: e.PathUnreadable,
    errno.EPERM: e.PathUnreadable,
    errno.EEXIST: e.FileAlreadyExists,
    errno.ENOTEMPTY: e.FileAlreadyExists,
    errno.ENOSPC: e.DiskFull,
    errno.EDQUOT: e.DiskFull,
    errno.EFBIG: e.FileTooLarge,
    errno.EROFS: e.ReadOnlyFileSystem,
    errno.ELOOP: e.DanglingLink,
    errno.EIO: e.FileError,
}


@pytest.mark.parametrize("number", CASES)
def test_each_errno_has_its_error(number: int) -> None:
    problem = OSError(number, "said the kernel")
    error = file_error(problem, "/a/b", "in the sandbox")
    assert type(error) is CASES[number]
    assert error.data == {"path": "/a/b"}
    assert "/a/b" in error.message
    assert "(in the sandbox)" in error.message
    assert ("said the kernel" in error.message) == (number == errno.EIO)
    assert error.hint


def test_a_full_disk_says_where_to_make_room() -> None:
    error = file_error(OSError(errno.ENOSPC, ""), "/x", "on this machine")
    assert error.hint == "Free space on this machine and try again"


def test_a_link_without_a_target_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(e.DanglingLink), file_errors(tmp_path / "link", "here"):
        (tmp_path / "link").read_bytes()
    with pytest.raises(e.FileMissing), file_errors(tmp_path / "missing", "here"):
        (tmp_path / "missing").read_bytes()


def test_what_is_below_is_named() -> None:
    with pytest.raises(e.PathUnreadable) as caught, file_errors("/top", "here", below=True):
        raise PermissionError(errno.EACCES, "no", "sub/file")
    assert caught.value.data == {"path": "/top/sub/file"}
    with pytest.raises(e.PathUnreadable) as caught, file_errors("/top", "here"):
        raise PermissionError(errno.EACCES, "no", "/top/.tether-00.part")
    assert caught.value.data == {"path": "/top"}


def test_odd_names_are_text_that_can_be_sent() -> None:
    text = printable("caf\udcff\udcfe{x}")
    assert text == "caf\\xff\\xfe{x}"
    json.dumps(text).encode()
    assert about("{} is odd", "a{b}\udcff") == {"message": "a{b}\\xff is odd", "path": "a{b}\\xff"}
    problem = OSError(errno.EIO, "x")
    assert "a{b}" in file_error(problem, "a{b}", "here").message
