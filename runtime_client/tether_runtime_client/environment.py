"""What programs find in their environment: the image's, defaults, and what was set since."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from .private_files import read_small, write_small
from .processes.program import DEFAULT_PATH
from .protocol.defaults import DEFAULT_ENVIRONMENT
from .protocol.errors import InvalidAction
from .protocol.os_errors import file_errors
from .shell.exports import Changes, changed_by

LONGEST = 128 * 1024 - 1
"""Bytes of one `NAME=value` that the kernel passes to a program (MAX_ARG_STRLEN without a NUL)."""

LONGEST_FILE = 64 * 1024 * 1024
"""Bytes of the file with what was set: more than programs can be given."""

log = logging.getLogger(__name__)


class Environment:
    """The variables of everything that starts in the sandbox. One owner, on the loop.

    `base` is what the client was started with, and `path` the file in which what is set outlives
    the client. `commands` is the folder of plugins' commands, which comes first on the PATH: an
    image's program may have the name of one.
    """

    def __init__(self, base: Mapping[str, str], path: Path, commands: str | None = None) -> None:
        self._base = dict(base)
        self.commands = commands
        if commands is not None:
            self._base["PATH"] = f"{commands}:{base.get('PATH') or DEFAULT_PATH}"
        self._path = path
        self._changes = _load(path)

    @property
    def of_commands(self) -> dict[str, str]:
        """For sessions and execs: an agent's, whom no pager and no editor should keep."""
        return changed_by({**DEFAULT_ENVIRONMENT, **self._base}, self._changes)

    @property
    def of_people(self) -> dict[str, str]:
        """For interactive terminals."""
        return changed_by(self._base, self._changes)

    def set(self, changes: Changes) -> None:
        """Set variables for what starts from now on, also after a restart of the client.

        Raises `InvalidAction` for what programs could not be given, and a `FileError` where it
        cannot be kept; nothing has changed then.
        """
        merged = {**self._changes, **changes}
        _check(changes, changed_by({**DEFAULT_ENVIRONMENT, **self._base}, merged))
        with file_errors(self._path, "in the sandbox's run directory"):
            _save(self._path, merged)
        self._changes = merged


def _check(changes: Changes, after: Mapping[str, str]) -> None:
    """A program that is given too much does not start: no command would run any more."""
    for name, value in changes.items():
        if value is not None and (size := _size(name, value)) > LONGEST:
            raise InvalidAction(
                f"the variable {name} takes {size:,} bytes, and {LONGEST:,} is the most",
                hint="Write the value to a file and set the variable to its path",
            )
    total, most = sum(_size(*item) + 9 for item in after.items()), os.sysconf("SC_ARG_MAX") // 2
    if total > most:
        raise InvalidAction(
            f"the environment would take {total:,} bytes, and {most:,} is the most",
            hint="Set fewer variables, or write their values to files",
        )


def _size(name: str, value: str) -> int:
    return len(f"{name}={value}".encode("utf-8", "surrogateescape"))


def _load(path: Path) -> dict[str, str | None]:
    """What an earlier life of the client was told; nothing where the file is not ours any more."""
    try:
        found = dict(json.loads(read_small(path, LONGEST_FILE)))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as problem:
        log.error("the variables that were set are lost: %s", problem)
        return {}
    return {str(name): None if value is None else str(value) for name, value in found.items()}


def _save(path: Path, changes: Changes) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".new")
    write_small(draft, json.dumps(changes).encode("ascii"))
    os.replace(draft, path)
