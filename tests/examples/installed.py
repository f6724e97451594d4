"""A plugin's source folder as an installed package, in a folder that only a test knows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path


def install(source: Path, site: Path) -> None:
    """What `pip install --no-deps --editable` leaves in a folder of packages."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    origin = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    groups = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in groups
        )
    )
    for package in source.glob("*/tether-plugin.toml"):
        (site / package.parent.name).symlink_to(package.parent)
