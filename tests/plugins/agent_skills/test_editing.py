"""Files made and changed by lines and by text, with every other byte kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tether_plugins.agent_skills import (
    append_file,
    create_file,
    edit_file,
    edit_file_by_replace,
    insert_content_at_line,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code.py"
    path.write_bytes(b"a = 1\nb = 2\xff\nc = 3")
    return path


def test_lines_are_replaced_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_file(str(file), 1, 1, "a = 10\naa = 11")
    assert file.read_bytes() == b"a = 10\naa = 11\nb = 2\xff\nc = 3"
    assert "1|a = 10\n2|aa = 11\n" in capsys.readouterr().out
    edit_file(str(file), 1, 3, "")
    assert file.read_bytes() == b"c = 3"


def test_lines_are_inserted_and_added_at_the_end(file: Path) -> None:
    insert_content_at_line(str(file), 1, "import os")
    append_file(str(file), "d = 4")
    insert_content_at_line(str(file), 6, "e = 5\n")
    assert file.read_bytes() == b"import os\na = 1\nb = 2\xff\nc = 3\nd = 4\ne = 5\n"


def test_text_that_is_there_once_is_replaced(file: Path) -> None:
    edit_file_by_replace(str(file), "1\nb", "1  # one\nb")
    assert file.read_bytes() == b"a = 1  # one\nb = 2\xff\nc = 3"


def test_ends_of_lines_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"one\r\ntwo\r\n")
    edit_file(str(path), 2, 2, "2\nand more")
    edit_file_by_replace(str(path), "one\n2", "1\n2")
    assert path.read_bytes() == b"1\r\n2\r\nand more\r\n"


def test_a_file_is_made_with_its_folders_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "file.txt"
    create_file(str(path), "text")
    assert path.read_text() == "text\n"
    assert "1|text" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="there already"):
        create_file(str(path), "other")
    assert path.read_text() == "text\n"


def test_mode_and_links_stay(file: Path, tmp_path: Path) -> None:
    file.chmod(0o750)
    link = tmp_path / "link.py"
    link.symlink_to(file.name)
    append_file(str(link), "d = 4")
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert file.read_bytes().endswith(b"c = 3\nd = 4\n")


def test_errors_say_what_to_do_and_change_nothing(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ValueError, match="which has 3"):
        edit_file(str(file), 2, 4, "")
    with pytest.raises(ValueError, match="from 1 to 4"):
        insert_content_at_line(str(file), 5, "x")
    with pytest.raises(ValueError, match="more than once, in the lines 1, 2, 3"):
        edit_file_by_replace(str(file), " = ", " == ")
    with pytest.raises(ValueError, match="most like it is 'a = 1'"):
        edit_file_by_replace(str(file), "a  = 1", "")
    with pytest.raises(ValueError, match="has to be a text"):
        edit_file_by_replace(str(file), "", "x")
    assert file.read_bytes() == before
