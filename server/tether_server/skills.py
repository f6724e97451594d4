"""The agent's skills as a runtime lists them: typed entries, and text for a prompt."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tether_runtime_client.protocol.skills import Skill, SkillsObservation


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


def _module(name: str, skills: list[Skill]) -> str:
    names = ", ".join(skill.name for skill in skills)
    return plain(f"from {name} import {names}\n\n" + "\n".join(map(_function, skills)))


def _function(skill: Skill) -> str:
    doc = textwrap.indent(skill.doc.strip("\n"), "    ")
    return f"{skill.name}{skill.signature}\n{doc}\n" if doc else f"{skill.name}{skill.signature}\n"


def plain(text: str) -> str:
    """Without what a terminal would act on, and what no text has."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
