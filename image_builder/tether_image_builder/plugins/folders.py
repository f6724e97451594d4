"""The source folder of a package, as it goes into a build stage."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tether_runtime_client.protocol.errors import PluginInvalid

PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
LARGEST_BYTES = 256 << 20
# What versions, tools and installers keep beside sources, and what a build leaves at the top.
_LEFT_OUT = frozenset(
    ("__pycache__", "node_modules", "venv", ".venv", ".git", ".hg", ".svn", ".tox", ".nox")
)
_LEFT_OUT_AT_TOP = frozenset(("build", "dist"))
_CACHES = ("_cache", "-cache", ".cache")


@dataclass(frozen=True)
class SourceFolder:
    """The files of a folder by their paths in it, and which of them can be executed."""

    files: dict[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()


def read_folder(folder: Path) -> SourceFolder:
    """Reads a package's sources, without what is no source.

    Raises:
        PluginInvalid: it is no package's folder, too large, or has a link that leads out of it.
    """
    if not any((folder / name).is_file() for name in PROJECT_FILES):
        raise PluginInvalid(
            f"{folder} is no package's source folder: it has no {PROJECT_FILES[0]}",
            hint="Name the folder that pip would install",
        )
    return _read(folder)


def read_package(folder: Path) -> SourceFolder:
    """The same for a folder that has modules and need not be a project."""
    return _read(folder)


def _read(folder: Path) -> SourceFolder:
    found: dict[str, bytes] = {}
    executable = set()
    total = 0
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise PluginInvalid(f"{path} is a link that leads out of the package's folder")
        if not path.is_file():
            continue
        total += path.stat().st_size
        if total > LARGEST_BYTES:
            raise _too_large(folder)
        found[name] = path.read_bytes()
        if os.access(path, os.X_OK):
            executable.add(name)
    return SourceFolder(found, frozenset(executable))


def _paths(folder: Path) -> list[Path]:
    paths = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        top = _LEFT_OUT_AT_TOP if here == folder else frozenset[str]()
        folders[:] = sorted(
            name for name in folders if name not in top and not _is_left_out(here / name)
        )
        paths += [here / name for name in sorted(names) if not name.endswith(".pyc")]
    return paths


def _is_left_out(path: Path) -> bool:
    name = path.name
    kept = name not in _LEFT_OUT and not (name.startswith(".") and name.endswith(_CACHES))
    return not kept or path.is_symlink() or (path / "pyvenv.cfg").is_file()


def _too_large(folder: Path) -> PluginInvalid:
    return PluginInvalid(
        f"{folder} has more than {LARGEST_BYTES >> 20} MiB of files",
        hint="Name a wheel of the package, or keep what is no source out of its folder",
    )
