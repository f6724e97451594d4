"""What of the client a plugin's process needs: handed over, so that nothing else is known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..environment import Environment
from ..oom_kills import OomKills
from ..protocol.events import Event


class SessionPlaces(Protocol):
    """What plugins may know of the shell sessions, there or not."""

    def folder_of(self, session: str) -> str:
        """The session's present directory; where it would start, if it has no shell."""

    async def environment_of(self, session: str) -> dict[str, str]:
        """What the session exports, after the last command that ended there."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`plugins` is where they are installed, `run_dir` outlives a restart, `state` is the private
    part of that.
    """

    plugins: Path
    run_dir: Path
    state: Path
    environment: Environment
    sessions: SessionPlaces
    oom: OomKills
    emit: Callable[[Event], None]

    @property
    def skills(self) -> Path:
        """Where modules that are added while the sandbox runs go."""
        return self.run_dir / "skills"

    @property
    def registry(self) -> str:
        """Where the supervisor finds what a dead client had started."""
        return str(self.state / "sessions")

    def output_path(self, plugin: str) -> str:
        """Where what a plugin prints goes."""
        return str(self.state / "output" / f"plugin-{plugin}.log")

    def state_folder(self, plugin: str) -> Path:
        """A plugin's own folder, made where it is not there. Raises OSError."""
        folder = self.state / "plugins" / plugin
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
