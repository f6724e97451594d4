"""The variables of what starts in a sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tether_runtime_client.environment import LONGEST, Environment
from tether_runtime_client.protocol.defaults import DEFAULT_ENVIRONMENT
from tether_runtime_client.protocol.errors import FileMissing, InvalidAction

BASE = {"PATH": "/bin", "PAGER": "less", "HOME": "/root"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "environment.json"


def test_defaults_are_an_agents_alone_and_give_way(file: Path) -> None:
    environment = Environment(BASE, file)
    assert environment.of_commands == {**DEFAULT_ENVIRONMENT, **BASE}
    assert environment.of_people == BASE
    environment.set({"PAGER": "more", "EDITOR": None})
    assert environment.of_commands["PAGER"] == environment.of_people["PAGER"] == "more"
    assert "EDITOR" not in environment.of_commands


def test_what_is_set_outlives_the_client(file: Path) -> None:
    value = "a\"$`\n'\\ž\udcff"
    Environment(BASE, file).set({"A": value, "HOME": None, "B": "1"})
    Environment(BASE, file).set({"B": "2"})
    assert Environment(BASE, file).of_people == {
        "PATH": "/bin", "PAGER": "less", "A": value, "B": "2"
    }  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", "\0"])
def test_a_damaged_file_is_none(file: Path, content: str) -> None:
    file.write_text(content)
    assert Environment(BASE, file).of_people == BASE


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"A": "x" * LONGEST}, "131,073 bytes"),
        ({"A": "ž" * 70_000}, "140,002 bytes"),
        ({f"A{n}": "x" * 100_000 for n in range(50)}, "the environment would take"),
    ],
)
def test_what_no_program_could_be_given(
    file: Path, changes: Mapping[str, str], problem: str
) -> None:
    environment = Environment(BASE, file)
    with pytest.raises(InvalidAction, match=problem):
        environment.set({"B": "1", **changes})
    assert environment.of_people == BASE
    assert not file.exists()


def test_what_fits_is_taken(file: Path) -> None:
    environment = Environment(BASE, file)
    environment.set({"A": "x" * (LONGEST - 2)})
    environment.set({f"A{n}": "x" * 1000 for n in range(500)})
    assert os.spawnve(os.P_WAIT, "/bin/true", ["true"], environment.of_commands) == 0


def test_where_it_cannot_be_kept_nothing_has_changed(tmp_path: Path) -> None:
    environment = Environment(BASE, tmp_path / "nothing" / "environment.json")
    with pytest.raises(FileMissing, match="run directory"):
        environment.set({"A": "1"})
    assert environment.of_people == BASE
