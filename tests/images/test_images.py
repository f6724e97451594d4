"""Every image of the cases, on a real engine, in each way to put the client into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tether_server import BuildFailed, SyncEventStreamRuntime, WrongArchitecture

from .archives import for_architecture, with_layers
from .cases import MODES, Case, image_of, load_cases
from .promises import check_common, clean_stop

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

CASES = load_cases()
MOST_LAYERS = 125


@pytest.fixture(scope="module")
def client(engine: str) -> Iterator[docker.DockerClient]:
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture(
    scope="module",
    # Both modes of a case go to one process, which makes the image once.
    params=[pytest.param(c, id=c.name, marks=pytest.mark.xdist_group(c.name)) for c in CASES],
)
def case(request: pytest.FixtureRequest) -> Case:
    made: Case = request.param
    return made


@pytest.fixture(scope="module")
def image(case: Case, client: docker.DockerClient) -> Iterator[str]:
    with image_of(case, client) as name:
        yield name


@pytest.mark.parametrize("mode", MODES)
def test_image(
    case: Case, image: str, mode: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    runtime = case.runtime(image, mode)
    with clean_stop(runtime, client):
        check_common(runtime, case.options.check, tmp_path)
        case.verify(runtime)


def test_an_image_for_another_architecture_is_refused(
    client: docker.DockerClient, busybox: str
) -> None:
    name = "tether-test/case-architecture:latest"
    for_architecture(client, busybox, "s390x", name)
    try:
        for _ in MODES:
            with pytest.raises(WrongArchitecture, match="s390x") as caught:
                SyncEventStreamRuntime(name).start()
            assert caught.value.hint
    finally:
        client.images.remove(name)


def test_no_layer_can_be_added_to_the_most_that_there_can_be(
    client: docker.DockerClient, busybox: str
) -> None:
    image = with_layers(client, busybox, MOST_LAYERS)
    with pytest.raises(BuildFailed, match="as many layers") as caught:
        SyncEventStreamRuntime(image).start()
    assert "mount" in caught.value.hint
