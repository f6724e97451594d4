"""Plugins' commands on the PATH of sessions: small programs in the run directory that run them.

They are written when the client starts, by what each `plugin.json` says, without a look at anything
else of a plugin: nothing of a plugin is imported before somebody calls its command.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .settings import ClientSettings

_TEXT = """\
from tether_runtime_client.plugin.command import run
raise SystemExit(run({command!r}))
"""
_LONGEST = 127
"""Bytes of a script's first line that every kernel reads."""

log = logging.getLogger(__name__)


def write_commands(settings: ClientSettings) -> str | None:
    """Write a program for each command that an installed plugin declares.

    Returns the folder that they are in, or None where no plugin has one. What cannot be written, or
    has the name of another plugin's command, is left out and logged.
    """
    found: dict[str, str] = {}
    for file in sorted(settings.plugins_folder.glob("*/plugin.json")):
        try:
            programs = _programs(file, settings)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
            log.warning("%s cannot be read: %s", file, problem)
            continue
        for taken in found.keys() & programs:
            log.warning("the command %s of %s is that of another plugin", taken, file.parent.name)
        found = {**programs, **found}
    return _written(settings, found) if found else None


def _programs(file: Path, settings: ClientSettings) -> dict[str, str]:
    """A plugin's commands. What is wrong with it otherwise is told when it is used."""
    # What is no ordinary file is not waited for.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        plugin = json.load(opened)
    commands = plugin["declaration"].get("commands", {})
    return {
        str(name): _script(_described(plugin, str(target), settings))
        for name, target in commands.items()
        if "/" not in name
    }


def _described(plugin: Mapping[str, Any], target: str, settings: ClientSettings) -> dict[str, Any]:
    """What `plugin.command` needs to know."""
    return {
        "target": target,
        "path": plugin.get("path", []),
        "prefix": plugin.get("prefix"),
        "state": str(settings.state / "plugins" / plugin["declaration"]["name"]),
        "workdir": os.getcwd(),
        "plugins": str(settings.plugins_folder),
        "skills": str(settings.run_dir / "skills"),
    }


def _script(command: dict[str, Any]) -> str:
    return _first_lines() + _TEXT.format(command=command)


def _first_lines() -> str:
    """What starts our Python, whatever LD_* and PYTHON* a session has."""
    launcher = Path(sys.prefix, "bin", "tether-runtime-client")
    if _is_program(launcher):
        return f"#!{launcher} command\n"
    line = f"#!{sys.executable} -I\n"
    if len(line) <= _LONGEST and " " not in sys.executable:
        return line
    import shlex

    return f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} -I \"$0\" \"$@\"\n'''\n"


def _make_own(folder: Path) -> None:
    """A folder that everybody may read and only we can change: others may write beside it, and what
    is in it runs as whoever calls it.
    """
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is there already, and can be changed by others")


def _is_program(path: Path) -> bool:
    """The launcher of a runtime environment; where Tether is installed by pip it is a script."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _written(settings: ClientSettings, programs: Mapping[str, str]) -> str | None:
    folder = settings.run_dir / "bin"
    try:
        _make_own(folder)
        _make_own(settings.run_dir / "skills")  # before anybody else can
        for name, text in programs.items():
            draft = folder / f".{name}.new"
            draft.write_text(text, encoding="utf-8")
            draft.chmod(0o755)
            os.replace(draft, folder / name)
    except OSError as problem:
        log.warning("plugins' commands cannot be written: %s", problem)
        return None
    return str(folder)
