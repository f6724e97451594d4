"""A real engine, and images that say of themselves how they run."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from zlib import crc32

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from tether_server import EventStreamRuntime
from tether_server.record import list_records, load_record

MakeImage = Callable[[str], str]
Find = Callable[[EventStreamRuntime], Container]


@pytest.fixture
def client(engine: str) -> Iterator[docker.DockerClient]:
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture(autouse=True)
def nothing_left(client: docker.DockerClient, state_dir: object) -> Iterator[None]:
    """A test that fails leaves its kept sandboxes behind."""
    yield
    for record in list_records():
        with suppress(docker.errors.NotFound):
            client.containers.get(record.handle["container"]).remove(force=True, v=True)


@pytest.fixture
def make_image(client: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[MakeImage]:
    """Makes an image from a Dockerfile's text; all of it goes after the test."""
    made: list[str] = []

    def make_image(dockerfile: str) -> str:
        seed = f"{os.getpid()} {request.node.nodeid} {len(made)}"
        name = f"tether-test/made-{crc32(seed.encode()):x}"
        # With a label of its own, before anything else, it shares no layer's image with another
        # test, which may be about to remove that.
        base, _, rest = dockerfile.strip().partition("\n")
        file = io.BytesIO(f"{base}\nLABEL made-for={name}\n{rest}".encode())
        client.images.build(fileobj=file, tag=f"{name}:1", rm=True, forcerm=True)
        made.append(name)
        return f"{name}:1"

    yield make_image
    for name in made:
        for image in [*client.images.list(f"{name}_tether"), *client.images.list(name)]:
            client.images.remove(image.tags[0], force=True)


@pytest.fixture
def find(client: docker.DockerClient) -> Find:
    """The container of a runtime."""
    return lambda runtime: client.containers.get(load_record(runtime.name).handle["container"])


@pytest.fixture(params=["build", "mount"])
def inject(request: pytest.FixtureRequest) -> str:
    """Both ways of bringing the client to an image."""
    return str(request.param)
