"""Packages with plugins, as they are installed and as they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

PROBE = Path(__file__).parent / "probe"

Install = Callable[..., Path]

DECLARATION = """
name = "{name}"
door = 1
entry = "{package}.plugin:P"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python finds packages, of the test's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site: Path) -> Install:
    """Puts a package there as pip leaves it; gives its folder."""

    def install(
        name: str, declaration: str | None = None, origin: object = None, *more: str
    ) -> Path:
        package = f"{name}_package"
        folder = site / package
        folder.mkdir()
        text = DECLARATION.format(name=name, package=package) + (declaration or "")
        (folder / "tether-plugin.toml").write_text(text)
        (folder / "__init__.py").write_text("raise ImportError\n")
        (folder / "plugin.py").write_text("raise ImportError\n")
        for file in more:
            (folder / file).write_text(file)
        _record(site, package, name, origin)
        return folder

    return install


@pytest.fixture
def own_images(client: docker.DockerClient) -> Iterator[None]:
    """Images of plugins that only these tests make go; that of the probe stays."""
    yield
    for image in client.api.images(filters={"label": "tether.kind=plugin"}):
        for name in image["RepoTags"] or ():
            if name.startswith(("tether-plugin-lamp", "tether-plugin-oven")):
                client.images.remove(name, force=True)


def _record(site: Path, package: str, name: str, origin: object) -> None:
    info = site / f"{package}-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text(f"[tether.plugins]\n{name} = {package}\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    files = [path for folder in (site / package, info) for path in folder.rglob("*")]
    lines = [f"{path.relative_to(site)},," for path in files]
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,", ""]))
