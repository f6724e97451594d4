"""Pulls and pushes, with a real registry on this machine."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
from click.testing import CliRunner
from docker.models.images import Image

from tether_image_builder import BuildProgress, BuildResult, build_image
from tether_image_builder.cli import main
from tether_image_builder.engine import EngineRefusal, connected
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.errors import ImageNotFound, PushFailed, WrongArchitecture

from .registry import PASSWORD, USER, Registry, running_registry

pytestmark = pytest.mark.engine

Build = Callable[..., BuildResult]
MakeImage = Callable[..., Image]


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker configuration of the test's own, in which nobody is logged in anywhere."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path) as registry:
        yield registry


@pytest.fixture
def stored(
    client: docker.DockerClient, registry: Registry, make_image: MakeImage, busybox: str
) -> str:
    """An image that is in the registry and not on the engine."""
    name = f"{registry.address}/team/app:1.0"
    image = make_image(f"FROM {busybox}\nLABEL one=1")
    client.api.tag(image.id, name)
    with connected(client) as engine:
        engine.push(name, lambda _: None)
    client.images.remove(name)
    return name


def is_there(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def test_by_tag_from_a_registry_with_a_port(
    client: docker.DockerClient, build: Build, stored: str, names: list[str]
) -> None:
    names.append(stored)
    steps: list[BuildProgress] = []
    result = build(stored, progress=steps.append)
    assert result.tag.startswith(stored.replace("app:1.0", "app_tether:"))
    assert str(steps[0]) == f"pulling {stored}"
    assert build(stored).reused


def test_by_digest(
    client: docker.DockerClient,
    build: Build,
    registry: Registry,
    stored: str,
    names: list[str],
) -> None:
    image = f"{registry.address}/team/app@{registry.digest('team/app', '1.0')}"
    names.append(image)
    result = build(image)
    assert result.tag.startswith(f"{registry.address}/team/app_tether:")
    assert client.images.get(image).id == result.base_id


def test_a_name_that_the_registry_does_not_know(build: Build, registry: Registry) -> None:
    with pytest.raises(ImageNotFound, match=r"not found|unknown"):
        build(f"{registry.address}/team/other:1")


def test_a_registry_that_says_nothing(client: docker.DockerClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, connected(client) as engine:
        name = f"127.0.0.1:{silent.getsockname()[1]}/team/app:1"
        with pytest.raises(EngineRefusal, match="no answer for 1 seconds"):
            engine.pull(name, lambda _: None, phase="pull", silence_s=1)


def test_for_another_platform_than_there_is(build: Build, stored: str, names: list[str]) -> None:
    names.append(stored)
    with pytest.raises((WrongArchitecture, ImageNotFound), match="linux/s390x"):
        build(stored, platform="linux/s390x")


def test_what_is_pushed_can_be_pulled_back(
    client: docker.DockerClient, build: Build, registry: Registry, busybox: str, names: list[str]
) -> None:
    tag = f"{registry.address}/team/built:1"
    plain = build(busybox)
    steps: list[BuildProgress] = []
    result = build(busybox, tag=tag, push=True, progress=steps.append)
    assert result.pushed == f"{registry.address}/team/built@{registry.digest('team/built', '1')}"
    assert any(step.phase == "push" and step.total for step in steps)
    for name in (tag, plain.tag):
        client.images.remove(name)
    client.images.pull(tag)
    pulled = client.images.get(tag)
    assert pulled.id == result.image_id
    again = build(tag)
    assert (again.reused, again.tag, again.image_id) == (True, tag, result.image_id)
    assert [layer.part for layer in again.layers] == ["environment", "code"]


@pytest.fixture
def small(busybox: str, make_image: MakeImage, still_code: object) -> str:
    """An image that says that it has today's client: nothing is built, and little is pushed."""
    platform = f"linux/{'arm64' if os.uname().machine == 'aarch64' else 'amd64'}"
    fingerprint = EnvironmentRecipe.load("portable", platform).described.fingerprint
    labels = f"tether.environment=portable tether.environment.fingerprint={fingerprint}"
    return str(make_image(f"FROM {busybox}\nLABEL {labels}").tags[0])


def refused(small: str, registry: Registry, names: list[str]) -> PushFailed:
    names.append(f"{registry.address}/team/built:1")
    with pytest.raises(PushFailed) as caught:
        build_image(small, tag=names[-1], push=True)
    return caught.value


def test_a_registry_that_takes_nothing(small: str, names: list[str], tmp_path: Path) -> None:
    with running_registry(tmp_path, read_only=True) as registry:
        assert refused(small, registry, names).data["reason"] == "refused"


def test_whoever_is_not_logged_in_is_told_so(
    small: str, names: list[str], tmp_path: Path, docker_config: Path
) -> None:
    with running_registry(tmp_path, with_password=True) as registry:
        problem = refused(small, registry, names)
        assert problem.data["reason"] == "unauthorized"
        assert "docker login" in str(problem)
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        docker_config.write_text(json.dumps({"auths": {registry.address: {"auth": secret}}}))
        assert build_image(small, tag=names[-1], push=True).pushed


def test_a_registry_that_is_not_there(small: str, names: list[str], registry: Registry) -> None:
    registry.stop()
    assert refused(small, registry, names).data["reason"] == "unreachable"


def test_what_has_no_name_cannot_be_pushed(client: docker.DockerClient, small: str) -> None:
    with pytest.raises(PushFailed, match="this is an id or a digest"):
        build_image(str(client.images.get(small).id), push=True)


def test_the_command_says_where_it_was_pushed(
    small: str, names: list[str], registry: Registry
) -> None:
    tag = f"{registry.address}/team/built:1"
    names.append(tag)
    runner = CliRunner()
    result = runner.invoke(main, [small, "--tag", tag, "--push"])
    assert (result.exit_code, result.stdout) == (0, f"{tag}\n")
    assert f"push: pushing {tag}" in result.stderr
    registry.stop()
    result = runner.invoke(main, [small, "--tag", tag, "--push"])
    assert (result.exit_code, result.stdout) == (8, "")
    assert "Check the name of the registry" in result.stderr


def test_a_login_that_cannot_be_read(
    registry: Registry, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = docker_config.parent / "docker-credential-locked"
    helper.write_text("#!/bin/sh\necho the key ring is locked\nexit 1\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    docker_config.write_text(json.dumps({"credHelpers": {registry.address: "locked"}}))
    with connected(None) as engine, pytest.raises(EngineRefusal, match="key ring is locked"):
        engine.push(f"{registry.address}/team/app:1", lambda _: None)


@pytest.fixture
def large(client: docker.DockerClient, registry: Registry, names: list[str]) -> str:
    """An image that takes a while to move."""
    name = f"{registry.address}/team/large:1"
    with tarfile.open(fileobj=(archive := io.BytesIO()), mode="w") as members:
        member = tarfile.TarInfo("noise")
        member.size = 80_000_000
        members.addfile(member, io.BytesIO(os.urandom(member.size)))
    client.api.import_image_from_data(archive.getvalue(), name.removesuffix(":1"), "1")
    names.append(name)
    return name


def stopping(registry: Registry, told: list[BuildProgress]) -> Callable[[BuildProgress], None]:
    def report(progress: BuildProgress) -> None:
        told.append(progress)
        if progress.total:
            registry.stop()

    return report


# The engine tries again five times, ever more slowly.
@pytest.mark.slow
def test_a_registry_that_goes_away_during_a_push(
    client: docker.DockerClient, registry: Registry, large: str
) -> None:
    told: list[BuildProgress] = []
    with connected(client) as engine, pytest.raises(EngineRefusal, match=r"refused|reset|EOF"):
        engine.push(large, stopping(registry, told))
    assert any("retrying" in str(step) for step in told)


@pytest.mark.slow
def test_a_registry_that_goes_away_during_a_pull(
    client: docker.DockerClient, build: Build, registry: Registry, large: str
) -> None:
    with connected(client) as engine:
        engine.push(large, lambda _: None)
    client.images.remove(large)
    told: list[BuildProgress] = []
    with pytest.raises(ImageNotFound, match=r"refused|reset|EOF"):
        build(large, progress=stopping(registry, told))
    assert any("retrying" in str(step) for step in told)
