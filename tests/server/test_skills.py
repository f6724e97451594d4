"""The agent's skills as text for a prompt."""

from __future__ import annotations

from tether_runtime_client.protocol.skills import Skill, SkillsObservation
from tether_server.skills import Skills

SHOWN = """\
from files import find, open_file

find(name: str) -> list[str]
    Find files.

    Below the working directory.

open_file(path: str)

from docs import read

read(path: str) -> str
    Read one.
"""


def test_they_are_listed_module_by_module() -> None:
    told = SkillsObservation(
        skills=(
            Skill(
                name="find",
                module="files",
                signature="(name: str) -> list[str]",
                doc="Find files.\n\nBelow the working directory.",
            ),
            Skill(name="open_file", module="files", signature="(path: str)"),
            Skill(name="read", module="docs", signature="(path: str) -> str", doc="Read one.\n"),
        ),
        folder="/run/skills",
        problems=("broken: no Python",),
    )
    skills = Skills.of(told)
    assert str(skills) == SHOWN
    assert [skill.name for skill in skills] == ["find", "open_file", "read"]
    assert len(skills) == 3
    assert skills.problems == ("broken: no Python",)


def test_there_may_be_none() -> None:
    assert str(Skills((), "/run/skills")) == ""


def test_nothing_in_them_moves_a_cursor() -> None:
    hostile = Skill(name="x", module="m", signature="()\x1b[2J", doc="a\x9bb\x00c\r\u202ed\n\te")
    text = str(Skills((hostile,), ""))
    assert all(c.isprintable() or c in "\n\t" for c in text)
