"""Packages with a plugin, written for a test."""

from __future__ import annotations

from pathlib import Path

from tether_image_builder.plugins.wheels import packed_wheel, wheel_name

PROJECT = """
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"
[project]
name = "{name}_package"
version = "1.0"
[project.entry-points."tether.plugins"]
{name} = "{name}_package"
"""


def package(name: str, **files: str) -> dict[str, bytes]:
    """The files of a package with a plugin."""
    declared = {"tether-plugin.toml": f'name = "{name}"\ndoor = 1\n', "__init__.py": "", **files}
    return {f"{name}_package/{file}": text.encode() for file, text in declared.items()}


def wheel(folder: Path, name: str, requires: str = "", **files: str) -> Path:
    """A wheel with a plugin; gives its path."""
    metadata = f"Metadata-Version: 2.1\nName: {name}_package\nVersion: 1.0\n{requires}"
    entries = f"[tether.plugins]\n{name} = {name}_package\n"
    info = {"METADATA": metadata.encode(), "entry_points.txt": entries.encode()}
    path = folder / wheel_name(f"{name}_package", "1.0")
    path.write_bytes(packed_wheel(f"{name}_package", "1.0", package(name, **files), info))
    return path


def sources(folder: Path, name: str, **files: str) -> Path:
    """A source folder with a plugin; gives its path."""
    for file, content in package(name, **files).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "pyproject.toml").write_text(PROJECT.format(name=name))
    return folder
