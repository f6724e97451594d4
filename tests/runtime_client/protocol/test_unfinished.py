"""Notes of what is half there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.protocol.attributes import FileAttributes, Receiving
from tether_runtime_client.protocol.landing import FileLanding, TreeLanding
from tether_runtime_client.protocol.unfinished import Unfinished

NAME = ".tether-0123456789abcdef.part"


@pytest.fixture
def unfinished(tmp_path: Path) -> Unfinished:
    return Unfinished(tmp_path / "notes")


@pytest.mark.parametrize("kind", ["file", "tree"])
@pytest.mark.parametrize("how", ["committed", "given up", "killed"])
def test_what_is_half_there_is_noted(
    unfinished: Unfinished, tmp_path: Path, kind: str, how: str
) -> None:
    target = tmp_path / "place" / "target"
    receiving = Receiving(unfinished=unfinished)
    landing: FileLanding | TreeLanding = TreeLanding(target, unfinished)
    if kind == "file":
        landing = FileLanding(target, FileAttributes(), receiving)
    landing.__enter__()
    [note] = unfinished.left()
    [half] = list(target.parent.iterdir())
    assert note.read_bytes() == bytes(half)
    if how == "killed":
        unfinished.sweep([note])
        assert list(target.parent.iterdir()) == []
    elif how == "committed":
        landing.commit()
    landing.__exit__(None, None, None)
    assert unfinished.left() == []
    assert target.exists() == (how == "committed")


@pytest.mark.parametrize("content", ["victim", "/", "", "\0", f"victim/../{NAME}x", "folder"])
def test_notes_that_somebody_else_made(
    unfinished: Unfinished, tmp_path: Path, content: str
) -> None:
    """They remove nothing."""
    victim = tmp_path / "victim"
    victim.mkdir()
    note = tmp_path / "notes" / NAME
    if content == "folder":
        note.mkdir()
    else:
        note.write_text(str(tmp_path / content))
    (tmp_path / "notes" / "other").touch()
    unfinished.sweep(unfinished.left())
    assert victim.is_dir()
    assert (tmp_path / "notes" / "other").exists()


def test_without_a_folder_nothing_is_noted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unfinished = Unfinished(tmp_path / "file")
    unfinished.note(tmp_path / NAME)
    unfinished.forget(tmp_path / NAME)
    assert unfinished.left() == []
