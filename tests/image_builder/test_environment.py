"""How a runtime environment is built where there is none, and what is said where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import docker
import docker.errors
import pytest
from docker.models.images import Image

from tether_image_builder import BuildProgress, ensure_environment
from tether_image_builder.engine import connected
from tether_image_builder.environment import EnvironmentImage, EnvironmentRecipe
from tether_image_builder.errors import EnvironmentUnavailable

pytestmark = pytest.mark.engine

STAGE = b"ARG BASE\nFROM ${BASE}\nARG STAGE\nLABEL tether.stage=${STAGE}\n"
CODE = b"ARG BASE\nFROM ${BASE}\n"


@pytest.fixture
def recipe(
    still_code: dict[str, bytes], names: list[str], request: pytest.FixtureRequest
) -> EnvironmentRecipe:
    """The portable recipe under names that no engine has."""
    own = f"tether-test/env-{crc32(request.node.nodeid.encode()):x}"
    images = EnvironmentImage("portable", f"{own}-base:1", f"{own}:1", "0" * 64)
    names.extend([images.base_image, images.image])
    return replace(EnvironmentRecipe.load("portable", "linux/amd64"), described=images)


def based_on(base: str, recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """The recipe with another image as the base of its build stage."""
    manifest = recipe.recipe.manifest.model_copy(update={"base": base})
    return replace(recipe, recipe=replace(recipe.recipe, manifest=manifest))


def stages_of(client: docker.DockerClient, recipe: EnvironmentRecipe) -> list[Image]:
    label = f"tether.stage={recipe.described.base_image}"
    return client.images.list(filters={"label": label}, all=True)


def test_a_recipe_that_fails_shows_the_end_of_its_output(
    client: docker.DockerClient,
    recipe: EnvironmentRecipe,
    busybox: str,
) -> None:
    failing = STAGE + b"RUN echo the reason; false\n"
    broken = based_on(busybox, replace(recipe, files={"Dockerfile": failing}))
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        broken.ensure(engine, lambda _: None)
    assert "  the reason" in str(caught.value)
    assert "the reason" in caught.value.data["log"]
    assert stages_of(client, recipe) == []


def test_the_stage_finds_this_machines_settings_and_the_result_has_none(
    client: docker.DockerClient, recipe: EnvironmentRecipe
) -> None:
    portable = ensure_environment("portable", client=client)
    dockerfile = (
        STAGE + b"COPY host /host\n"
        b'RUN ["/opt/tether/bin/bash", "-c", "[[ -s /host/pip.conf ]]"]\n'
        b"FROM scratch\nCOPY --from=0 /opt/tether /opt/tether\n"
    )
    files = {"Dockerfile": dockerfile}
    recipe = based_on(portable.base_image, replace(recipe, files=files, code={"Dockerfile": CODE}))
    steps: list[BuildProgress] = []
    with connected(client) as engine:
        recipe.ensure(engine, steps.append)
        recipe.ensure(engine, steps.append)
        parts = recipe.parts(engine)
    assert sum("building the runtime environment" in str(step) for step in steps) == 1
    assert stages_of(client, recipe) == []
    assert client.images.get(recipe.described.image).labels["tether.kind"] == "environment"
    assert sum("MB: certificates" in str(step) for step in steps) == 1
    assert 40e6 < sum(parts.values()) < 90e6
    assert {"packages", "programs", "shared libraries", "time zones"} < parts.keys()


def test_what_breaks_the_contract_is_no_environment(
    client: docker.DockerClient, recipe: EnvironmentRecipe
) -> None:
    portable = ensure_environment("portable", client=client)
    breaking = (
        b"import os, pathlib; os.remove('/opt/tether/bin/bash');"
        b"pathlib.Path('/opt/tether/away').symlink_to('/etc')"
    )
    command = b'RUN ["/opt/tether/bin/python3", "-I", "-c", "' + breaking + b'"]\n'
    broken = based_on(portable.base_image, replace(recipe, files={"Dockerfile": STAGE + command}))
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        broken.ensure(engine, lambda _: None)
    assert "there is no program /opt/tether/bin/bash" in caught.value.message
    assert "the link /opt/tether/away leads to /etc, outside of /opt/tether" in str(caught.value)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(recipe.described.base_image)
    assert stages_of(client, recipe) == []


def test_what_has_no_python_that_runs_is_no_environment(
    client: docker.DockerClient, recipe: EnvironmentRecipe, busybox: str
) -> None:
    broken = based_on(busybox, replace(recipe, files={"Dockerfile": STAGE}))
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        broken.ensure(engine, lambda _: None)
    assert "/opt/tether/bin/python3" in caught.value.message
