"""Builds that fail or are interrupted: when they return, the engine has ended them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from docker.models.images import Image

from tether_image_builder import BuildProgress, BuildResult, build_image
from tether_image_builder.classic import plain
from tether_image_builder.context import context_archive
from tether_image_builder.engine import EngineRefusal, connected
from tether_image_builder.environment import EnvironmentImage, EnvironmentRecipe

pytestmark = pytest.mark.engine

Build = Callable[..., BuildResult]
MakeImage = Callable[..., Image]
TAG = "tether-test/classic:1"


class Interrupted(BaseException):
    """Stands for Ctrl-C, which may come at any point."""


def at_step(text: str) -> Callable[[BuildProgress], None]:
    def report(progress: BuildProgress) -> None:
        if text in progress.message:
            raise Interrupted

    return report


def built_on(client: docker.DockerClient, image: str) -> list[str]:
    """The ids of all images that were built on one, the unnamed ones too."""
    every = client.api.images(all=True)
    found = [str(client.images.get(image).id)]
    for image_id in found:
        found += [each["Id"] for each in every if each["ParentId"] == image_id]
    return found[1:]


def order(client: docker.DockerClient, dockerfile: str, report: Callable[..., None]) -> None:
    context = context_archive({"Dockerfile": dockerfile.encode(), "file": b"content"})
    with connected(client) as engine:
        engine.build(context, tag=TAG, report=report, phase="build")


@pytest.mark.parametrize("step", ["COPY --from", "LABEL"])
def test_an_interrupted_build_leaves_nothing(
    client: docker.DockerClient, busybox: str, still_code: object, step: str
) -> None:
    with pytest.raises(Interrupted):
        build_image(busybox, client=client, progress=at_step(step))
    assert built_on(client, busybox) == []


def test_a_command_that_is_told_to_end_leaves_nothing(
    client: docker.DockerClient, busybox: str
) -> None:
    program = [str(Path(sys.executable).parent / "runtime-build"), busybox, "--env", "portable"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stderr is not None
        for line in it.stderr:
            if line.startswith("build: COPY"):
                it.terminate()
                break
        output, rest = it.communicate(timeout=60)
    assert (it.returncode, output) == (143, "")
    assert "Traceback" not in rest
    assert built_on(client, busybox) == []


def test_an_interrupted_environment_leaves_nothing(
    client: docker.DockerClient, busybox: str, still_code: object
) -> None:
    stage = "ARG BASE\nFROM ${BASE}\nARG STAGE\nLABEL tether.stage=${STAGE}\nRUN sleep 1000\n"
    own = busybox.partition(":")[0]
    described = EnvironmentImage("portable", f"{own}-base:1", f"{own}-env:1", "0" * 64)
    loaded = EnvironmentRecipe.load("portable", "linux/amd64")
    manifest = loaded.recipe.manifest.model_copy(update={"base": busybox})
    recipe = replace(
        loaded,
        described=described,
        recipe=replace(loaded.recipe, manifest=manifest),
        files={"Dockerfile": stage.encode()},
    )
    with connected(client) as engine, pytest.raises(Interrupted):
        recipe.ensure(engine, at_step("RUN sleep"))
    assert built_on(client, busybox) == []
    assert client.containers.list(all=True, filters={"ancestor": busybox}) == []


def test_a_program_of_a_step_is_ended(client: docker.DockerClient, busybox: str) -> None:
    dockerfile = f"FROM {busybox}\nCOPY file /file\nRUN sleep 1000\nRUN sleep 1000\n"
    with pytest.raises(Interrupted):
        order(client, dockerfile, at_step("RUN"))
    assert built_on(client, busybox) == []
    assert client.containers.list(all=True, filters={"ancestor": busybox}) == []


def test_a_build_that_fails_leaves_nothing(client: docker.DockerClient, busybox: str) -> None:
    dockerfile = f"FROM {busybox}\nCOPY file /file\nRUN echo why; exit 3\n"
    with pytest.raises(EngineRefusal) as caught:
        order(client, dockerfile, lambda _: None)
    assert "why" in caught.value.log
    assert "3" in caught.value.reason
    assert built_on(client, busybox) == []


def test_what_is_no_dockerfile_is_refused(client: docker.DockerClient) -> None:
    with pytest.raises(EngineRefusal, match=r"(?i)unknown instruction"):
        order(client, "NONSENSE\n", lambda _: None)


def test_what_would_steer_a_terminal_is_left_out() -> None:
    assert plain("\x1b[31mred\x1b[0m\x07\tend\r") == "red\tend"
