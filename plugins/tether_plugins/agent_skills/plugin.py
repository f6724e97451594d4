"""The plugin of skills: tells which there are, and takes in more."""

from __future__ import annotations

import asyncio
import json
import os
from itertools import accumulate
from shutil import which

from tether_runtime_client.plugin import ActionContext, ActionError, NoConfig, Plugin, handles
from tether_runtime_client.protocol.skills import (
    AddSkillsAction,
    ListSkillsAction,
    Skill,
    SkillsObservation,
)

from .catalogue import Catalogue
from .listing import Unreadable

ASK_PYTHON_S = 10.0
MOST_TOLD = 1024 * 1024
"""Characters of all skills that are told: a message may have 8 MiB, and one takes up to 6 bytes."""

_ASK_PYTHON = "import json, sys; print(json.dumps([place for place in sys.path if place]))"


class AgentSkills(Plugin[NoConfig]):
    """Lists the skills of every plugin and those that were added, and adds some."""

    async def start(self) -> None:
        """Nothing is read before it is asked for."""
        self._catalogue = Catalogue(self.places)
        self._turn = asyncio.Lock()

    @handles(ListSkillsAction)
    async def list_all(self, action: ListSkillsAction, _: ActionContext) -> SkillsObservation:
        """Every skill, as it is in its source now."""
        skills, problems = await asyncio.to_thread(self._catalogue.skills)
        return self._told(skills, problems)

    @handles(AddSkillsAction)
    async def add(self, action: AddSkillsAction, context: ActionContext) -> SkillsObservation:
        """Find a module as the sandbox's Python would, and make its functions skills."""
        elsewhere = [str(await context.session_folder()), *await _path_of_python(context)]
        try:
            async with self._turn:
                skills = await asyncio.to_thread(self._catalogue.add, action.module, elsewhere)
        except (Unreadable, OSError) as problem:
            raise ActionError(
                f"{action.module!r} cannot be a skill module: {problem}",
                hint="Name a module with Python source in the sandbox, or upload one: add_skills",
            ) from None
        return self._told(skills, [])

    def _told(self, skills: list[Skill], problems: list[str]) -> SkillsObservation:
        """As many as fit into one message, and how many do not."""
        sizes = accumulate(len(skill.signature) + len(skill.doc) + 500 for skill in skills)
        fitting = sum(1 for size in sizes if size <= MOST_TOLD)
        if fitting < len(skills):
            problems = [*problems, f"{len(skills) - fitting:,} more skills: skill --list has them"]
        return SkillsObservation(
            skills=tuple(skills[:fitting]),
            folder=str(self._catalogue.folder),
            problems=tuple(problem[:1000] for problem in problems[:100]),
        )


async def _path_of_python(context: ActionContext) -> list[str]:
    """Where the `python3` of a shell session finds modules; nowhere without one that answers."""
    environment = await context.session_environment()
    python = which("python3", path=environment.get("PATH", os.defpath))
    if python is None:
        return []
    try:
        process = await asyncio.create_subprocess_exec(
            python,
            "-c",
            _ASK_PYTHON,
            env=environment,
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return []
    try:
        async with asyncio.timeout(ASK_PYTHON_S):
            told, _ = await process.communicate()
        return [str(place) for place in json.loads(told)]
    except (TimeoutError, ValueError, TypeError):
        return []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
