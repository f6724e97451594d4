"""Small files of ours, and what stands in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tether_runtime_client.bounded_log import BoundedLog
from tether_runtime_client.private_files import LIMIT, read_small, write_small


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first and longer", b"second", b""):
        write_small(path, content)
        assert read_small(path) == content
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no ordinary file"):
        read_small(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        write_small(tmp_path / "pipe", b"x")
    log = BoundedLog(str(tmp_path / "pipe"))
    assert not log.write(b"x")


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="Too many levels"):
        write_small(tmp_path / "link", b"x")
    assert not (tmp_path / "target").exists()


def test_what_is_longer_than_ours_are_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(OSError, match="of at most 1,048,576 bytes"):
        read_small(tmp_path / "file")
    with pytest.raises(OSError, match="no ordinary file"):
        read_small(tmp_path)
