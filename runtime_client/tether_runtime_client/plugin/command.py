"""A plugin's command as a session runs it: a process of its own, with the plugin's packages."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..original_environment import original_environment


def run_file(arguments: list[str]) -> int:
    """Run a program that the client wrote: by the launcher, which is no Python for the kernel."""
    import runpy

    sys.argv[:] = arguments
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


def run(command: Mapping[str, Any]) -> int:
    """Call the function that the plugin's declaration names; returns its exit status.

    What it starts has the session's environment; its modules are the plugin's where that brings
    them.
    """
    environment = original_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = True
    sys.path[:0] = command["path"]
    module, _, name = command["target"].partition(":")
    from .base import PluginPlaces

    prefix = command["prefix"]
    places = PluginPlaces(
        prefix=None if prefix is None else Path(prefix),
        state=Path(command["state"]),
        workdir=Path(command["workdir"]),
        plugins=Path(command["plugins"]),
        skills=Path(command["skills"]),
    )
    status: int = getattr(importlib.import_module(module), name)(places)
    return status
