"""A volume is filled once, to its end, or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256

import docker
import docker.errors
import pytest
from docker.models.volumes import Volume

from tether_image_builder import EnvironmentImage, prepare_mount
from tether_image_builder.engine import Engine
from tether_image_builder.errors import EnvironmentUnavailable
from tether_image_builder.models import BuildProgress, ignore_progress
from tether_image_builder.volume import ensure_volume, find_volume

from .conftest import MakeImage
from .programs import output_of

pytestmark = pytest.mark.engine

ENVIRONMENT = """
FROM {base}
RUN mkdir -p /opt/tether/bin /opt/tether/run && chmod 1777 /opt/tether/run \
 && cp /bin/busybox /opt/tether/bin/tether-runtime-client \
 && ln -s bin/tether-runtime-client /opt/tether/link
"""
LOOK = ["sh", "-c", "cd /v && ls && stat -c '%a %u' run bin/tether-runtime-client && readlink link"]
SEEN = b"bin\nlink\nrun\n1777 0\n755 0\nbin/tether-runtime-client\n"

FILL = """
import os, signal, sys, docker
from tether_image_builder import EnvironmentImage, volume
from tether_image_builder.engine import Engine
image, fingerprint, how = sys.argv[1:]
create = docker.APIClient.create_container
def die(*arguments, **options):
    create(*arguments, **options)  # which copies
    os.kill(os.getpid(), signal.SIGKILL)
if how == "die":
    docker.APIClient.create_container = die
environment = EnvironmentImage("test", image, image, fingerprint)
client = docker.from_env(version="auto")
print(volume.ensure_volume(Engine(client, ""), environment, lambda step: print(step)))
client.close()
"""


def fill(environment: EnvironmentImage, how: str = "") -> subprocess.Popen[str]:
    """In a process of its own."""
    arguments = [environment.image, environment.fingerprint, how]
    return subprocess.Popen(
        [sys.executable, "-c", FILL, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def ours(client: docker.DockerClient) -> Engine:
    return Engine(client, "")


@pytest.fixture
def environment(
    client: docker.DockerClient, busybox: str, make_image: MakeImage
) -> Iterator[EnvironmentImage]:
    """One of the test's own, which takes no time to put into a volume."""
    image = make_image(ENVIRONMENT.format(base=busybox)).tags[0]
    environment = EnvironmentImage("test", image, image, sha256(image.encode()).hexdigest())
    yield environment
    for container in client.containers.list(all=True, filters=wanted(environment)):
        container.remove(force=True)
    for volume in volumes(client, environment):
        volume.remove()


def wanted(environment: EnvironmentImage) -> dict[str, str | list[str] | bool]:
    return {"label": f"tether.fingerprint={environment.fingerprint}"}


def volumes(client: docker.DockerClient, environment: EnvironmentImage) -> list[Volume]:
    return client.volumes.list(filters=wanted(environment))


def test_all_of_an_environment_is_in_it(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage, busybox: str
) -> None:
    said: list[BuildProgress] = []
    volume = ensure_volume(ours, environment, said.append)
    assert [str(step) for step in said] == [
        "filling a volume with the runtime environment 'test', once for this engine"
    ]
    seen = output_of(client, busybox, LOOK, volumes=[f"{volume}:/v:ro"])
    assert seen == SEEN
    assert ensure_volume(ours, environment, said.append) == volume
    assert len(said) == 1
    assert not client.containers.list(all=True, filters=wanted(environment))


def test_its_labels_say_what_it_is(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage
) -> None:
    volume = ensure_volume(ours, environment, ignore_progress)
    found = {found.name: found.attrs["Labels"] for found in volumes(client, environment)}
    assert len(found) == 2  # and one that says which is filled
    assert all(labels["tether.kind"] == "environment" for labels in found.values())
    assert [name for name, labels in found.items() if labels.get("tether.volume") == volume]
    assert volume in found


def test_two_processes_at_once_fill_one(
    client: docker.DockerClient, environment: EnvironmentImage
) -> None:
    processes = [fill(environment) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert len({lines[-1] for lines in said}) == 1
    assert sorted(len(lines) for lines in said) == [1, 1, 2]
    assert len(volumes(client, environment)) == 2


def test_a_half_filled_one_is_not_taken_and_goes(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage
) -> None:
    with fill(environment, "die") as process:
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    [half] = volumes(client, environment)
    [container] = client.containers.list(all=True, filters=wanted(environment))
    assert find_volume(ours, environment) is None
    volume = ensure_volume(ours, environment, ignore_progress)
    assert volume != half.name
    assert half.name not in {found.name for found in volumes(client, environment)}
    with pytest.raises(docker.errors.NotFound):
        container.reload()


def test_one_that_somebody_removed_is_filled_again(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage
) -> None:
    first = ensure_volume(ours, environment, ignore_progress)
    client.volumes.get(first).remove()
    # As the engine makes it where a container asks for it: empty, and without labels.
    client.volumes.create(first)
    try:
        second = ensure_volume(ours, environment, ignore_progress)
        assert second != first
        assert find_volume(ours, environment) == second
    finally:
        client.volumes.get(first).remove()


def test_one_that_is_used_stays(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage, busybox: str
) -> None:
    """Its word that it is filled may go: nothing uses that."""
    first = ensure_volume(ours, environment, ignore_progress)
    user = client.containers.create(busybox, volumes=[f"{first}:/v:ro"])
    try:
        [ready] = [found for found in volumes(client, environment) if found.name != first]
        ready.remove()
        second = ensure_volume(ours, environment, ignore_progress)
        assert second != first
        assert {first, second} < {found.name for found in volumes(client, environment)}
    finally:
        user.remove()


def test_another_machine_may_have_filled_one_meanwhile(
    client: docker.DockerClient,
    ours: Engine,
    environment: EnvironmentImage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tether_image_builder import volume as module

    copy = module._copy

    def copy_and_lose(engine: Engine, environment: EnvironmentImage, name: str) -> None:
        copy(engine, environment, name)
        labels = {"tether.kind": "environment", "tether.fingerprint": environment.fingerprint}
        client.volumes.create("tether-test-theirs", labels=labels)
        ready = f"tether-env-test-{environment.fingerprint[:16]}-ready"
        client.volumes.create(ready, labels={**labels, "tether.volume": "tether-test-theirs"})

    monkeypatch.setattr(module, "_copy", copy_and_lose)
    assert ensure_volume(ours, environment, ignore_progress) == "tether-test-theirs"
    assert len(volumes(client, environment)) == 2


def test_an_engine_that_cannot_fill_one_says_why(
    client: docker.DockerClient, ours: Engine, environment: EnvironmentImage, busybox: str
) -> None:
    empty = EnvironmentImage("test", busybox, busybox, environment.fingerprint)
    with pytest.raises(EnvironmentUnavailable, match="volume") as caught:
        ensure_volume(ours, empty, ignore_progress)
    assert "inject='build'" in caught.value.hint
    assert not volumes(client, environment)


def test_an_image_and_its_environment(client: docker.DockerClient, busybox: str) -> None:
    result = prepare_mount(busybox, client=client)
    assert result.image_id == client.images.get(busybox).id
    assert (result.entrypoint, result.command) == (None, ("sh",))
    assert result.environment_image in client.images.get(result.environment_image).tags
    labels = client.volumes.get(result.volume).attrs["Labels"]
    assert labels["tether.fingerprint"].startswith(result.environment_image.split(":")[1])
    assert prepare_mount(busybox) == result
