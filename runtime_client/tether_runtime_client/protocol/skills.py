"""The agent's skills: plain Python functions, what is known of them, and how more are added."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .message import Message
from .plugin_actions import PluginAction
from .plugin_observations import PluginObservation

__all__ = ["AddSkillsAction", "ListSkillsAction", "Skill", "SkillsObservation"]

_WORD = r"[^\W\d]\w*"
ModuleName = Annotated[str, Field(pattern=rf"^{_WORD}(\.{_WORD})*$", max_length=256)]
"""As Python imports it: `package.module`."""


class Skill(Message):
    """A function that the agent may call: `from MODULE import NAME`, or `skill NAME` in a shell.

    `signature` is as its source has it, `(path: str, line: int = 1) -> None`; `doc` is its
    docstring.
    """

    name: str
    module: str
    signature: str
    doc: str = ""


class SkillsObservation(PluginObservation):
    """The agent's skills, as they are in their modules, in the order of the source.

    `folder` is where modules are added; `problems` says which modules cannot be read, and why.
    """

    observation: Literal["agent_skills.skills"] = "agent_skills.skills"
    skills: tuple[Skill, ...]
    folder: str
    problems: tuple[str, ...] = ()


class ListSkillsAction(PluginAction[SkillsObservation]):
    """List the skills of this sandbox, without importing their modules."""

    action: Literal["agent_skills.list"] = "agent_skills.list"


class AddSkillsAction(PluginAction[SkillsObservation]):
    """Make a module's or package's functions skills → those functions.

    The module is in the folder that a `SkillsObservation` names, or where Python in the sandbox
    finds it.
    """

    action: Literal["agent_skills.add"] = "agent_skills.add"
    module: ModuleName
