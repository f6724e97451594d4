"""Plugins' commands on the PATH of sessions: small programs in the run directory that run them.

They are written when the client starts, by what each `plugin.json` says, without a look at anything
else of a plugin: nothing of a plugin is imported before somebody calls its command.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
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
    for plugin in _installed(settings.plugins_folder):
        name = plugin["declaration"]["name"]
        for command, target in plugin["declaration"]["commands"].items():
            if command in found:
                log.warning("the command %s of %s is that of another plugin", command, name)
            else:
                found[command] = _script(_described(plugin, target, settings))
    return _written(settings.run_dir / "bin", found) if found else None


def _installed(plugins: Path) -> Iterator[dict[str, Any]]:
    """What can be read; what cannot is told when the plugin is used."""
    for file in sorted(plugins.glob("*/plugin.json")):
        try:
            plugin = json.loads(file.read_bytes())
            if plugin["declaration"].get("commands"):
                yield plugin
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            log.warning("%s cannot be read: %s", file, problem)


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
    return f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} -I \"$0\" \"$@\"\n'''\n"


def _is_program(path: Path) -> bool:
    """The launcher of a runtime environment; where Tether is installed by pip it is a script."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _written(folder: Path, programs: Mapping[str, str]) -> str | None:
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        for name, text in programs.items():
            draft = folder / f".{name}.new"
            draft.write_text(text, encoding="utf-8")
            draft.chmod(0o755)
            os.replace(draft, folder / name)
    except OSError as problem:
        log.warning("plugins' commands cannot be written: %s", problem)
        return None
    return str(folder)
