"""The environment that the miniforge recipe makes of a small place with conda packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import pytest

from tether_image_builder import ensure_environment, recipes
from tether_image_builder.environment import EnvironmentImage
from tether_server.backends.engine_address import engine_address

from .conda_site import CondaSite


@contextmanager
def served_site(folder: Path) -> Iterator[CondaSite]:
    """A place that build stages reach, which the process environment leads to."""
    client = docker.from_env(version="auto")
    try:
        address = engine_address(client, "bridge")
    finally:
        client.close()
    assert address is not None
    site = CondaSite(folder)
    with site.served(address):
        yield site


@contextmanager
def built_environment(
    site: CondaSite, code: dict[str, bytes], steps: list[str]
) -> Iterator[EnvironmentImage]:
    """The environment out of that place, removed at the end; `steps` gets what is reported."""
    client = docker.from_env(version="auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "code_files", lambda: dict(code))
        for name, value in site.settings.items():
            patch.setenv(name, value)
        environment = ensure_environment(
            "miniforge", client=client, progress=lambda step: steps.append(str(step))
        )
    try:
        yield environment
    finally:
        for name in (environment.image, environment.base_image):
            client.images.remove(name, force=True)
        client.close()
