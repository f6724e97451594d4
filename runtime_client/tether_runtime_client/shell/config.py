"""How to start a session's shells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Startup = Literal["bashrc", "profile", "none"]


@dataclass(frozen=True, slots=True)
class ShellConfig:
    """How to start a session's shells.

    `bash` is a path, `env` the whole environment of the shell and its programs, `startup` which
    files run first, for at most `startup_timeout_s` seconds; the terminal has `rows` and `cols`.
    `spare` is the path of another bash, for when the first cannot be started any more.
    `commands` is a folder that is first on the PATH also where startup files have set that anew.
    """

    bash: str
    cwd: str
    env: Mapping[str, str]
    startup: Startup = "bashrc"
    startup_timeout_s: float = 10.0
    rows: int = 24
    cols: int = 200
    commands: str | None = None
    spare: str | None = None
