"""Which commands went on is known to the client's next life, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.handlers.going_on import GoingOn, Left


def test_what_was_not_forgotten_is_left(tmp_path: Path) -> None:
    commands = [Left("a", "default", 5), Left("b", "two words", 0), Left("c", "default", 1)]
    going_on = GoingOn(tmp_path / "going_on")
    for command in commands:
        going_on.note(command)
    going_on.forget("b")
    later = GoingOn(tmp_path / "going_on")
    assert list(later.left()) == [commands[0], commands[2]]
    assert list(GoingOn(tmp_path / "going_on").left()) == []


def test_what_is_no_note_is_told_and_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    going_on = GoingOn(tmp_path)
    (tmp_path / "a").write_bytes(b"\xff\n5")
    (tmp_path / "b").write_text("default\nmany")
    assert list(going_on.left()) == []
    assert caplog.text.count("is lost") == 2
    assert list(tmp_path.iterdir()) == []
    going_on.note(Left("x" * 300, "default", 0))
    going_on.forget("x" * 300)
    assert "cannot be noted" in caplog.text
    assert "cannot be forgotten" in caplog.text
