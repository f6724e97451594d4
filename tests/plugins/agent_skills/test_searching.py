"""Files by their names, and text in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_plugins.agent_skills import find_file, open_file, search_dir, search_file


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "a.py": "import os\nprint(os)\n",
        "b/c.py": "os\n",
        "b/d.bin": "os\x00",
        ".git/config": "os\n",
        "b/.hidden": "os\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "broken").symlink_to("nowhere")
    return tmp_path


def test_text_in_a_folder(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_dir("os", str(tree))
    assert capsys.readouterr().out == (
        f"[Found: 'os' in {tree}]\n{tree}/a.py:1|import os\n{tree}/a.py:2|print(os)\n"
        f"{tree}/b/c.py:1|os\n"
    )


def test_text_in_a_file_and_in_the_open_one(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_file("print", str(tree / "a.py"))
    assert capsys.readouterr().out.endswith("2|print(os)\n")
    open_file(str(tree / "a.py"))
    capsys.readouterr()
    search_file("import")
    assert "1|import os" in capsys.readouterr().out
    search_file("nowhere")
    assert capsys.readouterr().out == f"[Nothing found: 'nowhere' in {tree}/a.py]\n"


@pytest.mark.parametrize(
    ("name", "found"), [("c.py", ["b/c.py"]), ("py", ["a.py", "b/c.py"]), ("?.b*", ["b/d.bin"])]
)
def test_files_by_name(
    name: str, found: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find_file(name, str(tree))
    assert capsys.readouterr().out.splitlines()[1:] == [f"{tree}/{path}" for path in found]


def test_many_matches_are_cut_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "many").write_text("x\n" * 1000)
    search_dir("x", str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 102
    assert lines[-1].startswith("[There are more than 100")


def test_errors_say_what_to_do(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        search_dir("x", str(tree / "nowhere"))
    with pytest.raises(NotADirectoryError, match="search_file"):
        search_dir("x", str(tree / "a.py"))
    for term in ("", "two\nlines"):
        with pytest.raises(ValueError, match="within one line"):
            search_file(term, str(tree / "a.py"))
