"""The agent's skills as a runtime lists them: typed entries, and text for a prompt."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tether_runtime_client.protocol.errors import InvalidAction
from tether_runtime_client.protocol.skills import AddSkillsAction, Skill, SkillsObservation

if TYPE_CHECKING:
    from .calls import Calls

NOT_COPIED = ("__pycache__/", "*.pyc")


@dataclass(frozen=True, slots=True)
class Skills:
    """What the agent can call, module by module; `str()` of it is what to put into a prompt.

    The sandbox says all of this, so it is as trustworthy as the agent in it.

    Attributes:
        entries: each function, in the order of the source.
        folder: where modules can be added in the sandbox.
        problems: the modules that cannot be read, and why.
    """

    entries: tuple[Skill, ...]
    folder: str
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, observation: SkillsObservation) -> Skills:
        """Those that a sandbox tells."""
        return cls(observation.skills, observation.folder, observation.problems)

    def __iter__(self) -> Iterator[Skill]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        modules = groupby(self.entries, key=lambda skill: skill.module)
        return "\n".join(_module(name, list(skills)) for name, skills in modules)


async def add_skills(calls: Calls, source: str | os.PathLike[str]) -> Skills:
    """Copy a module or package into the sandbox where it is one of here, and make it known."""
    module = os.fspath(source)
    if not isinstance(source, str) or "/" in module or module.endswith(".py"):
        path = _absolute(module)
        module = _module_name(path)
        folder = (await calls.skills()).folder
        await calls.upload(path, f"{folder}/.incoming/{path.name}", exclude=NOT_COPIED)
    try:
        action = AddSkillsAction(module=module)
    except ValidationError:
        raise InvalidAction(
            f"{module!r:.100} is no name of a Python module",
            hint="A file of here has a slash in its path, or ends in .py",
        ) from None
    return Skills.of(await calls.run(action))


def _absolute(path: str) -> Path:
    """So that `.` has a name too."""
    return Path(path).resolve()


def _module_name(path: Path) -> str:
    """By which Python imports a file or folder; raises `InvalidAction` for what it would not."""
    name = path.name.removesuffix(".py")
    is_module = path.suffix == ".py" if path.is_file() else (path / "__init__.py").is_file()
    if name in sys.stdlib_module_names:
        raise InvalidAction(
            f"{path} has the name of a module of Python's own, which is what {name!r} would import",
            hint="Give it another name",
        )
    if not is_module or not name.isidentifier() or name.startswith("_"):
        raise InvalidAction(
            f"{path} is no Python module, and no package that is a folder with an __init__.py",
            hint="Give the path of NAME.py or of a package's folder, NAME a Python identifier",
        )
    return name


def _module(name: str, skills: list[Skill]) -> str:
    names = ", ".join(skill.name for skill in skills)
    return plain(f"from {name} import {names}\n\n" + "\n".join(map(_function, skills)))


def _function(skill: Skill) -> str:
    doc = textwrap.indent(skill.doc.strip("\n"), "    ")
    return f"{skill.name}{skill.signature}\n{doc}\n" if doc else f"{skill.name}{skill.signature}\n"


def plain(text: str) -> str:
    """Without what a terminal would act on, and what no text has."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
