"""Which Python a kernel is to have."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tether_runtime_client.protocol.errors import KernelStartFailed


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Python that may be taken, and why."""

    executable: str
    source: Literal["image", "environment", "named"]
    reason: str


def candidates(
    wanted: str, names: Mapping[str, str], environment: Mapping[str, str]
) -> list[Candidate]:
    """Those that may be taken, the best first; `environment` is the session's.

    Raises `KernelStartFailed` where there is none.
    """
    if wanted == "environment":
        return [Candidate(sys.executable, "environment", "it was asked for")]
    if wanted == "image":
        found = _on_path("python3", environment)
        if found is None:
            raise KernelStartFailed("the image has no python3 on its PATH")
        return [Candidate(found, "image", "it was asked for")]
    if wanted == "auto":
        return _any(environment)
    return [_named(wanted, names, environment)]


def _any(environment: Mapping[str, str]) -> list[Candidate]:
    found = _on_path("python3", environment)
    if found is None:
        return [Candidate(sys.executable, "environment", "the image has no python3 on its PATH")]
    if _folder(found) == _folder(sys.executable):  # the links in it may lead to one program
        return [Candidate(sys.executable, "environment", "python3 on the PATH is this one")]
    return [
        Candidate(found, "image", "it is python3 on the PATH"),
        Candidate(sys.executable, "environment", ""),
    ]


def _named(wanted: str, names: Mapping[str, str], environment: Mapping[str, str]) -> Candidate:
    program = names.get(wanted, wanted)
    found = _on_path(program, environment)
    if found is None:
        raise KernelStartFailed(
            f"there is no Python {program!r:.200} that can be run",
            hint="Give an absolute path, a program on the session's PATH, or a name of the"
            " plugin's configuration",
        )
    return Candidate(found, "named", "it was asked for")


def _folder(program: str) -> str:
    return os.path.realpath(os.path.dirname(program))


def _on_path(program: str, environment: Mapping[str, str]) -> str | None:
    """A program's path; one with a slash has to be absolute."""
    if os.sep in program and not os.path.isabs(program):
        return None
    return shutil.which(program, path=environment.get("PATH", os.defpath))
