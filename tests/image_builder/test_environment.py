"""How a runtime environment is built where there is none, and what is said where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import docker
import pytest
from docker.models.images import Image

from tether_image_builder import BuildProgress, environment, recipes
from tether_image_builder.engine import connected
from tether_image_builder.environment import EnvironmentImage, EnvironmentRecipe
from tether_image_builder.errors import EnvironmentUnavailable

pytestmark = pytest.mark.engine

ABSENT = "tether-test/absent:1"
STAGE = b"ARG BASE\nFROM ${BASE}\nARG STAGE\nLABEL tether.stage=${STAGE}\n"
CODE = b"ARG BASE\nFROM ${BASE}\n"


@pytest.fixture
def recipe(still_code: dict[str, bytes], names: list[str]) -> EnvironmentRecipe:
    """The portable recipe under names that no engine has."""
    images = EnvironmentImage("portable", "tether-test/env-base:1", "tether-test/env:1", "0" * 64)
    names.extend([images.base_image, images.image])
    return replace(EnvironmentRecipe.load("portable", "linux/amd64"), described=images)


def stages_of(client: docker.DockerClient, recipe: EnvironmentRecipe) -> list[Image]:
    label = f"tether.stage={recipe.described.base_image}"
    return client.images.list(filters={"label": label}, all=True)


def test_a_recipe_that_fails_shows_the_end_of_its_output(
    client: docker.DockerClient,
    recipe: EnvironmentRecipe,
    busybox: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "STAGE_BASES", (busybox,))
    failing = STAGE + b"RUN echo the reason; false\n"
    broken = replace(recipe, files={"Dockerfile": failing})
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        broken.ensure(engine, lambda _: None)
    assert "  the reason" in str(caught.value)
    assert "the reason" in caught.value.data["log"]
    assert stages_of(client, recipe) == []


def test_the_stage_finds_this_machines_settings_and_the_result_has_none(
    client: docker.DockerClient,
    recipe: EnvironmentRecipe,
    busybox: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "STAGE_BASES", (busybox,))
    dockerfile = (
        STAGE + b"COPY host /host\n"
        b"RUN test -s /host/pip.conf && mkdir -p /opt/tether && echo 1 > /opt/tether/made\n"
        b"FROM scratch\nCOPY --from=0 /opt/tether /opt/tether\n"
    )
    recipe = replace(recipe, files={"Dockerfile": dockerfile}, code={"Dockerfile": CODE})
    steps: list[BuildProgress] = []
    with connected(client) as engine:
        recipe.ensure(engine, steps.append)
        recipe.ensure(engine, steps.append)
    assert sum("building the runtime environment" in str(step) for step in steps) == 1
    assert stages_of(client, recipe) == []
    assert client.images.get(recipe.described.image).labels["tether.kind"] == "environment"


def test_where_nothing_can_be_pulled_a_plain_debian_is_made(
    client: docker.DockerClient,
    still_code: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = tmp_path / "images" / "make-image"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/asked"\n')
    script.chmod(0o755)
    monkeypatch.setattr(recipes, "recipes_folder", lambda: tmp_path)
    monkeypatch.setattr(environment, "STAGE_BASES", (ABSENT,))
    monkeypatch.setattr(environment, "OWN_STAGE_BASE", ABSENT)
    steps: list[BuildProgress] = []
    with connected(client) as engine:
        assert environment._stage_base(engine, "portable", steps.append) == ABSENT
    assert (script.parent / "asked").read_text() == "debian:bookworm\n"
    assert any("cannot be pulled" in str(step) for step in steps)


def test_where_nothing_can_be_made_either_both_reasons_are_given(
    client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "images" / "make-image"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho no mmdebstrap >&2; exit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(recipes, "recipes_folder", lambda: tmp_path)
    monkeypatch.setattr(environment, "STAGE_BASES", (ABSENT,))
    monkeypatch.setattr(environment, "OWN_STAGE_BASE", ABSENT)
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        environment._stage_base(engine, "portable", lambda _: None)
    assert f"{ABSENT} cannot be pulled" in caught.value.message
    assert caught.value.data["log"] == ["no mmdebstrap"]
