"""Editing: each command, its errors, what it keeps, and undo through restarts."""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.files import (
    AlreadyExists,
    EditFailed,
    Editor,
    FileMissing,
    FileOperationError,
    IsADirectory,
    NoMatch,
    NothingToUndo,
    NotText,
    OutOfRange,
    SeveralMatches,
    TooLarge,
)
from tether_runtime_client.files import edit as module
from tether_runtime_client.files import history as history_module
from tether_runtime_client.files.diff import Change, diff_of, snippet_of
from tether_runtime_client.files.nearest import nearest

PROGRAM = "def one():\n    return 1\n\n\ndef two():\n    return 2\n\n\ndef three():\n    return 3\n"


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    return Editor(str(tmp_path / "history"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


# View


def test_view(editor: Editor, file: Path) -> None:
    assert editor.view(str(file)).content == PROGRAM
    found = editor.view(str(file), (5, 6))
    assert (found.content, found.start_line) == ("def two():\n    return 2\n", 5)
    assert editor.view(str(file), (9, -1)).content == "def three():\n    return 3\n"
    assert editor.view(str(file), max_bytes=12).truncated
    for wrong in ((0, 1), (5, 4), (-1, -1), (99, -1)):
        with pytest.raises(OutOfRange):
            editor.view(str(file), wrong)
    with pytest.raises(IsADirectory):
        editor.view(str(file.parent))


# Create


def test_create_and_undo(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.py"
    made = editor.create(str(path), "a\nb\n")
    assert path.read_text() == "a\nb\n"
    assert (made.content, made.start_line, made.total_lines) == ("a\nb\n", 1, 2)
    assert made.diff == f"--- {path}\n+++ {path}\n@@ -0,0 +1,2 @@\n+a\n+b\n"
    with pytest.raises(AlreadyExists, match="Edit it"):
        editor.create(str(path), "c")
    undone = editor.undo_edit(str(path))
    assert not path.exists()
    assert undone.diff.endswith("@@ -1,2 +0,0 @@\n-a\n-b\n")


def test_create_empty_and_dangling(editor: Editor, tmp_path: Path) -> None:
    assert editor.create(str(tmp_path / "empty"), "").diff == ""
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(AlreadyExists):
        editor.create(str(tmp_path / "link"), "x")


# Replace


def test_str_replace(editor: Editor, file: Path) -> None:
    done = editor.str_replace(str(file), "return 2", "return 22")
    assert file.read_text() == PROGRAM.replace("return 2", "return 22")
    assert done.content == (
        "    return 1\n\n\ndef two():\n    return 22\n\n\ndef three():\n    return 3\n"
    )
    assert done.start_line == 2
    assert done.diff == (
        f"--- {file}\n+++ {file}\n@@ -3,7 +3,7 @@\n"
        " \n \n def two():\n-    return 2\n+    return 22\n \n \n def three():\n"
    )


def test_undoing_a_creation_by_a_link_removes_the_file(editor: Editor, tmp_path: Path) -> None:
    editor.create(str(tmp_path / "file"), "x\n")
    (tmp_path / "link").symlink_to("file")
    editor.undo_edit(str(tmp_path / "link"))
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "link").is_symlink()


def test_str_replace_removes_and_spans_lines(editor: Editor, file: Path) -> None:
    editor.str_replace(str(file), "def one():\n    return 1\n\n\n", "")
    assert file.read_text() == PROGRAM.split("\n\n\n", 1)[1]


def test_ambiguous_match_lists_lines(editor: Editor, file: Path) -> None:
    with pytest.raises(SeveralMatches, match="3 times, at lines 2, 6, 10") as caught:
        editor.str_replace(str(file), "    return", "    yield")
    assert (caught.value.data["lines"], caught.value.data["count"]) == ([2, 6, 10], 3)
    file.write_text("aaa\n" * 500)
    with pytest.raises(SeveralMatches, match=r"1000 times.*, …") as caught:
        editor.str_replace(str(file), "aa", "b")
    assert len(caught.value.data["lines"]) == 100
    assert file.read_text() == "aaa\n" * 500


def test_no_match_shows_the_nearest(editor: Editor, file: Path) -> None:
    with pytest.raises(NoMatch, match=r"nearest is line 5:\ndef two\(\):\n    return 2") as caught:
        editor.str_replace(str(file), "def two():\n  return 2\n", "x")
    assert caught.value.data["line"] == 5
    with pytest.raises(NoMatch, match="nearest is line 9:") as caught:
        editor.str_replace(str(file), "def thre():", "x")
    with pytest.raises(NoMatch) as caught:
        editor.str_replace(str(file), "entirely different", "x")
    assert "nearest" not in caught.value.data
    assert file.read_text() == PROGRAM


def test_edits_that_mean_nothing(editor: Editor, file: Path) -> None:
    for old, new, why in (
        ("", "x", "no text to replace"),
        ("one", "one", "nothing would change"),
        ("one", "a\0b", "NUL"),
        ("one", "\ud800", "cannot be written as UTF-8"),
    ):
        with pytest.raises(EditFailed, match=why):
            editor.str_replace(str(file), old, new)


# Insert


@pytest.mark.parametrize(
    ("before", "line", "new", "after"),
    [
        ("a\nb\n", 0, "x", "x\na\nb\n"),
        ("a\nb\n", 1, "x\n", "a\nx\nb\n"),
        ("a\nb\n", 2, "x\ny", "a\nb\nx\ny\n"),
        ("a\nb", 2, "x", "a\nb\nx"),
        ("a\nb", 2, "x\n", "a\nb\nx\n"),
        ("a\nb", 1, "x", "a\nx\nb"),
        ("", 0, "x", "x\n"),
        ("a\r\nb\r\n", 1, "x\ny", "a\r\nx\r\ny\r\nb\r\n"),
    ],
)
def test_insert(
    editor: Editor, tmp_path: Path, before: str, line: int, new: str, after: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(before.encode())
    editor.insert(str(path), line, new)
    assert path.read_bytes() == after.encode()
    editor.undo_edit(str(path))
    assert path.read_bytes() == before.encode()


def test_insert_out_of_range(editor: Editor, file: Path) -> None:
    for line in (-1, 11):
        with pytest.raises(OutOfRange, match="Give a line from 0 to 10") as caught:
            editor.insert(str(file), line, "x")
        assert caught.value.data["total_lines"] == 10


# What an edit keeps


def test_line_ends_are_kept(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\r\ntwo\r\nthree\r\n")
    editor.str_replace(str(path), "one\ntwo\n", "1\n2\n")
    editor.str_replace(str(path), "three", "3\n4")
    assert path.read_bytes() == b"1\r\n2\r\n3\r\n4\r\n"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_encoding_and_mark_are_kept(editor: Editor, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "file"
    before = "grün\nblau\n".encode(codec)
    path.write_bytes(before)
    named = "utf-16-be" if codec == "utf-16-be" else None
    done = editor.str_replace(str(path), "blau", "weiß €", encoding=named)
    assert path.read_bytes() == "grün\nweiß €\n".encode(codec)
    assert "+weiß €" in done.diff
    assert "+blau" in editor.undo_edit(str(path)).diff
    assert path.read_bytes() == before


def test_named_encoding(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("grün\nblau\n".encode("latin-1"))
    with pytest.raises(NotText, match="byte 2 is 0xfc"):
        editor.str_replace(str(path), "blau", "rot")
    editor.str_replace(str(path), "blau", "weiß", encoding="latin-1")
    with pytest.raises(EditFailed, match="iso8859-1, which has no '€'"):
        editor.insert(str(path), 0, "€", encoding="latin-1")
    assert path.read_bytes() == "grün\nweiß\n".encode("latin-1")
    editor.undo_edit(str(path))
    assert path.read_bytes() == "grün\nblau\n".encode("latin-1")


def test_mode_and_link_are_kept(editor: Editor, file: Path) -> None:
    file.chmod(0o755)
    link = file.with_name("link")
    link.symlink_to(file.name)
    editor.str_replace(str(link), "one", "eins")
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o755
    editor.undo_edit(str(file))  # the same file by its other name
    assert file.read_text() == PROGRAM


# Undo


def test_undo_of_a_thousand_edits_and_a_restart(editor: Editor, file: Path, tmp_path: Path) -> None:
    contents = [file.read_text()]
    for number in range(1000):
        editor.insert(str(file), number % 5, f"# {number}")
        contents.append(file.read_text())
    again = Editor(str(tmp_path / "history"))
    for content in reversed(contents[:-1]):
        again.undo_edit(str(file))
        assert file.read_text() == content
    with pytest.raises(NothingToUndo, match=r"no edit of .* is known"):
        again.undo_edit(str(file))


def test_undo_after_a_foreign_change_is_refused(editor: Editor, file: Path) -> None:
    editor.str_replace(str(file), "one", "eins")
    after = file.read_text()
    file.write_text("somebody else's\n")
    with pytest.raises(NothingToUndo, match="something else has changed"):
        editor.undo_edit(str(file))
    assert file.read_text() == "somebody else's\n"
    file.write_text(after)
    editor.undo_edit(str(file))
    assert file.read_text() == PROGRAM


def test_undo_of_an_edit_that_was_noted_and_never_made(
    editor: Editor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that was killed between the two leaves a step for an edit that did not happen."""
    editor.str_replace(str(file), "one", "eins")
    middle = file.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(history_module.History, "pop", lambda self, path: None)
        patch.setattr(module, "write_file", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            editor.str_replace(str(file), "two", "zwei")
    assert file.read_text() == middle
    editor.undo_edit(str(file))
    assert file.read_text() == PROGRAM


def _interrupt(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_undo_of_a_deleted_file(editor: Editor, file: Path) -> None:
    editor.str_replace(str(file), "one", "eins")
    file.unlink()
    with pytest.raises(FileMissing):
        editor.undo_edit(str(file))


def test_history_is_bounded(
    editor: Editor, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_STEPS", 3)
    for number in range(5):
        editor.insert(str(file), 0, str(number))
    for _ in range(3):
        editor.undo_edit(str(file))
    with pytest.raises(NothingToUndo):
        editor.undo_edit(str(file))
    assert file.read_text() == "1\n0\n" + PROGRAM


def test_damaged_history_is_none(editor: Editor, file: Path, tmp_path: Path) -> None:
    editor.insert(str(file), 0, "x")
    (note,) = (tmp_path / "history").glob("*/1")
    note.write_bytes(b"garbage")
    with pytest.raises(NothingToUndo):
        editor.undo_edit(str(file))


def test_history_that_cannot_be_written_stops_the_edit(file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    editor = Editor(str(tmp_path / "file"))
    with pytest.raises(EditFailed, match="nothing was changed"):
        editor.insert(str(file), 0, "x")
    with pytest.raises(EditFailed, match="nothing was changed"):
        editor.create(str(tmp_path / "new"), "x")
    assert file.read_text() == PROGRAM
    assert not (tmp_path / "new").exists()


def test_failed_write_leaves_no_step(
    editor: Editor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor.insert(str(file), 0, "first")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            editor.insert(str(file), 0, "second")
    editor.undo_edit(str(file))
    assert file.read_text() == PROGRAM


def test_edits_from_many_threads(editor: Editor, file: Path) -> None:
    threads = [
        threading.Thread(target=editor.insert, args=(str(file), 0, f"# {number}"))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text().count("# ") == 20


lines = st.lists(st.text(st.sampled_from("ab ü\r"), max_size=5), max_size=40).map("\n".join)


@settings(max_examples=200, deadline=None)
@given(before=lines, after=lines)
def test_any_edit_can_be_shown_and_undone(before: str, after: str) -> None:
    one, other = before.encode(), after.encode()
    step = history_module.Step.between(one, other, "utf-8")
    assert step.made(other)
    assert step.undone(other) == one
    added = other[step.offset : step.offset + step.inserted]
    change = Change(one, step.offset, len(step.removed), added)
    assert change.after == other
    assert patched(before, diff_of("file", change)) == after
    start, content = snippet_of(change)
    assert content in after
    assert after.split("\n")[start - 1 :] or not after


def patched(before: str, diff: str) -> str:
    """What patch(1) makes of it: the judge of the format, and of every line number."""
    if not diff:
        return before
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(before.encode())
        command = ["patch", "--binary", "-s", "-F0", "-o", "-", str(path)]
        done = subprocess.run(command, input=diff.encode(), capture_output=True, cwd=folder)
        if done.returncode == 0:
            return done.stdout.decode()
        return f"patch: {done.stdout.decode()} {done.stderr.decode()}"


def test_far_apart_changes_are_hunks_of_their_own() -> None:
    before = [f"line {number}\n" for number in range(60)]
    after = list(before)
    for number in (5, 9, 20, 40, 41):
        after[number] = "changed\n"
    change = Change("".join(before).encode(), 0, len("".join(before)), "".join(after).encode())
    diff = diff_of("file", change)
    assert [line for line in diff.splitlines() if line.startswith("@@")] == [
        "@@ -3,11 +3,11 @@",
        "@@ -18,7 +18,7 @@",
        "@@ -38,8 +38,8 @@",
    ]
    assert patched("".join(before), diff) == "".join(after)
    assert diff_of("file", Change(b"a\n", 0, 2, b"a\n")) == ""


# Size


def test_diff_and_snippet_are_bounded(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x" * 3_000_000 + "MARK" + "y" * 3_000_000)
    done = editor.str_replace(str(path), "MARK", "NEW")
    assert len(done.diff) < 70_000
    assert len(done.content) < 20_000
    made = editor.create(str(tmp_path / "many"), "line\n" * 200_000)
    assert len(made.diff) < 70_000
    assert made.diff.endswith("longer than can be shown\n")
    assert made.content.endswith("more was changed than can be shown\n")


def test_sixteen_thousand_lines(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("".join(f"    value_{number} = {number}\n" for number in range(16_000)))
    started = time.process_time()
    editor.str_replace(str(path), "value_15999 =", "last =")
    editor.insert(str(path), 8_000, "# the middle")
    with pytest.raises(NoMatch, match="nearest is line 12347"):
        editor.str_replace(str(path), "value_12345  =  12345", "x")
    with pytest.raises(NoMatch):
        editor.str_replace(str(path), "valeu_12345 = 12345\n", "x")
    assert time.process_time() - started < 3


def test_fifty_megabytes(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("".join(f"line {number:9}\n" for number in range(3_400_000)))
    started = time.process_time()
    done = editor.str_replace(str(path), "line   3399999\n", "the end\n")
    took = time.process_time() - started
    assert done.start_line == 3_399_996
    assert took < 3
    editor.undo_edit(str(path))
    assert path.read_bytes().endswith(b"line   3399999\n")


def test_too_large(editor: Editor, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EDITED", 10)
    with pytest.raises(TooLarge):
        editor.insert(str(file), 0, "x")


def test_every_error_is_about_its_path(editor: Editor, file: Path) -> None:
    for path in ("/no/such", str(file.parent), "/dev/null"):
        for call in (
            lambda path: editor.str_replace(path, "a", "b"),
            lambda path: editor.insert(path, 0, "b"),
            editor.view,
        ):
            with pytest.raises(FileOperationError) as caught:
                call(path)
            assert caught.value.path == path
            assert caught.value.hint


@pytest.mark.parametrize(
    ("body", "wanted", "found"),
    [
        ("a\n  b\nc\n", "b", (2, "  b")),
        ("if x:\n\tgo()\n", "if x:\n    go()", (1, "if x:\n\tgo()")),
        (
            "}\n" * 50 + "function load(name) {\n  x\n}\n",
            "function load(nam) {\n  y\n}",
            (51, None),
        ),
        ("", "x", None),
        ("abc\n", "", None),
        ("abc\n", "\n\n", None),
        ("alpha beta\n", "x" * 1000, None),
    ],
)
def test_nearest(body: str, wanted: str, found: tuple[int, str | None] | None) -> None:
    result = nearest(body.encode(), wanted.encode())
    if found is None:
        assert result is None
        return
    assert result is not None
    assert result[0] == found[0]
    assert found[1] is None or result[1] == found[1]


def test_nearest_in_a_large_file() -> None:
    body = "".join(f"    line_{number} = {number}\n" for number in range(400_000)).encode()
    started = time.process_time()
    wanted = b"line_299999 = 299999\nline_300000 = 300000\nline_300001 = 0\n"
    found = nearest(body, wanted)
    assert found is not None
    assert found[0] == 300_000
    wanted = b"lime_299999 = 299999 // as it was once\n"
    assert nearest(body, wanted) == (300_000, "    line_299999 = 299999")
    assert nearest(body, b"not there at all") is None
    assert nearest(b"x" * 10_000_000 + b"y", b"xxy") is None  # one line, nothing like it
    assert time.process_time() - started < 2


def test_no_temporary_file_is_left(editor: Editor, file: Path) -> None:
    editor.insert(str(file), 0, "x")
    assert sorted(os.listdir(file.parent)) == ["history", "program.py"]
