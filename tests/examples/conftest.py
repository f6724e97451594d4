"""The example of a stranger's plugin, where this process and what it starts find it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "plugin-preview"


def install(source: Path, site: Path) -> None:
    """What `pip install --no-deps --editable` leaves in a folder of packages."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in groups
        )
    )
    for package in source.glob("*/tether-plugin.toml"):
        (site / package.parent.name).symlink_to(package.parent)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages that has the example, and that nothing but a test knows."""
    folder = tmp_path / "site"
    install(EXAMPLE, folder)
    return folder


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    """What a process is started with that is to find the example."""
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
