"""An output's file is whole, or it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tether_runtime_client.output_file import OutputFile


@pytest.fixture
def file(tmp_path: Path) -> OutputFile:
    return OutputFile(tmp_path / "folder" / "output")


def test_nothing_is_made_before_the_first_byte(file: OutputFile) -> None:
    file.close()
    assert not file.begun
    assert not Path(file.path).parent.exists()


def test_what_is_appended_can_be_read_before_and_after_it_is_closed(file: OutputFile) -> None:
    assert file.append(b"one ")
    assert file.append(memoryview(b"two"))
    assert file.read(2, 4) == b"e tw"
    file.close()
    file.close()
    assert file.read(4, 100) == b"two"
    assert Path(file.path).stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(file: OutputFile, tmp_path: Path) -> None:
    Path(file.path).parent.mkdir()
    Path(file.path).symlink_to(tmp_path / "elsewhere")
    assert not file.append(b"x")
    assert file.problem is not None
    assert not (tmp_path / "elsewhere").exists()


def test_one_that_cannot_be_whole_is_removed_and_takes_no_more(file: OutputFile) -> None:
    assert file.append(b"first")
    os.close(file._file)  # as good as a full disk: the next write fails
    file._file = os.open("/dev/full", os.O_WRONLY)
    assert not file.append(b"more")
    assert not file.append(b"again")
    assert not Path(file.path).exists()
    assert file.problem is not None
    assert file.problem.strerror == "No space left on device"
