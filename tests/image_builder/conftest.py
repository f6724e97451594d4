"""A real engine, and the client's code held still while it is worked on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import docker
import docker.errors
import pytest
from docker.models.images import Image

from tether_image_builder import BuildResult, build_image, recipes
from tether_image_builder.environment import EnvironmentImage

from .conda_environment import built_environment, served_site
from .conda_site import CondaSite

NAMES = "tether-test/built"

Build = Callable[..., BuildResult]
MakeImage = Callable[..., Image]


@pytest.fixture(scope="session")
def code() -> dict[str, bytes]:
    return recipes.code_files()


@pytest.fixture(scope="session")
def conda_site(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CondaSite]:
    """A Miniforge installer and a channel, on this machine."""
    with served_site(tmp_path_factory.mktemp("conda")) as site:
        yield site


@pytest.fixture(scope="session")
def miniforge_steps() -> list[str]:
    """What was reported while the environment below was built."""
    return []


@pytest.fixture(scope="session")
def miniforge(
    conda_site: CondaSite, code: dict[str, bytes], miniforge_steps: list[str]
) -> Iterator[EnvironmentImage]:
    """The environment of the miniforge recipe; tests of it are of the group `miniforge`."""
    with built_environment(conda_site, code, miniforge_steps) as environment:
        yield environment


@pytest.fixture
def conda_settings(conda_site: CondaSite, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leads the miniforge recipe to the place above, with other settings as they are given."""

    def conda_settings(**other: str) -> None:
        for name, value in {**conda_site.settings, **other}.items():
            monkeypatch.setenv(name, value)

    return conda_settings


@pytest.fixture
def still_code(code: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The client's code as it was at the start of the tests, and as a test changes it."""
    files = dict(code)
    monkeypatch.setattr(recipes, "code_files", lambda: dict(files))
    return files


@pytest.fixture
def client(engine: str) -> Iterator[docker.DockerClient]:
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture
def names(client: docker.DockerClient) -> Iterator[list[str]]:
    """Images that are removed after the test."""
    names: list[str] = []
    yield names
    for name in reversed(names):
        try:
            client.images.remove(name, force=True)
        except docker.errors.ImageNotFound:
            continue


@pytest.fixture
def build(client: docker.DockerClient, names: list[str], still_code: dict[str, bytes]) -> Build:
    """`build_image`, whose images are removed after the test."""

    def build(image: str | None = None, **options: Any) -> BuildResult:
        result = build_image(image, client=client, **options)
        names.append(result.tag)
        return result

    return build


@pytest.fixture
def make_image(
    client: docker.DockerClient, names: list[str], request: pytest.FixtureRequest
) -> MakeImage:
    """Makes an image from the text of a Dockerfile; gives its name."""

    def make_image(dockerfile: str) -> Image:
        name = f"{NAMES}-{crc32(request.node.nodeid.encode()):x}:{len(names)}"
        labels = {"tether.test": name}
        image, _ = client.images.build(
            fileobj=io.BytesIO(dockerfile.encode()),
            tag=name,
            rm=True,
            forcerm=True,
            nocache=True,
            labels=labels,
        )
        names.append(name)
        return image

    return make_image


@pytest.fixture
def busybox(busybox: str, make_image: MakeImage) -> str:
    """An image of the test's own, whose builds no other test uses or removes."""
    return str(make_image(f"FROM {busybox}").tags[0])


@pytest.fixture
def debian(debian: str, make_image: MakeImage) -> str:
    """An image of the test's own, whose builds no other test uses or removes."""
    return str(make_image(f"FROM {debian}").tags[0])
