"""What the build stage of an environment begins with."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tether_image_builder import BuildProgress, recipes, stage
from tether_image_builder.engine import connected
from tether_image_builder.errors import EnvironmentUnavailable
from tether_image_builder.stage import stage_base, suite_of

ABSENT = "tether-test/absent:1"
ABSENT_DEBIAN = "debian:nosuch-slim"


def make_image(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the script that makes plain images."""
    path = folder / "images" / "make-image"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(recipes, "recipes_folder", lambda: folder)
    monkeypatch.setattr(stage, "PULL_SILENCE_S", 5.0)
    return path


@pytest.mark.engine
def test_where_nothing_can_be_pulled_a_plain_debian_is_made(
    client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = make_image(tmp_path, 'echo "$@" > "$(dirname "$0")/asked"', monkeypatch)
    steps: list[BuildProgress] = []
    with connected(client) as engine:
        base = stage_base(engine, "portable", ABSENT_DEBIAN, steps.append)
    assert base == "tether-test/debian:nosuch"
    assert (script.parent / "asked").read_text() == "debian:nosuch\n"
    assert any("cannot be pulled" in str(step) for step in steps)


@pytest.mark.engine
def test_where_nothing_can_be_made_either_both_reasons_are_given(
    client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image(tmp_path, "echo no mmdebstrap >&2; exit 3", monkeypatch)
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        stage_base(engine, "portable", ABSENT_DEBIAN, lambda _: None)
    assert f"{ABSENT_DEBIAN} cannot be pulled" in caught.value.message
    assert caught.value.data["log"] == ["no mmdebstrap"]


@pytest.mark.engine
def test_another_base_cannot_be_made(client: docker.DockerClient) -> None:
    with connected(client) as engine, pytest.raises(EnvironmentUnavailable) as caught:
        stage_base(engine, "portable", ABSENT, lambda _: None)
    assert f"{ABSENT} cannot be pulled" in caught.value.message


@pytest.mark.engine
def test_a_base_that_is_here_is_taken(client: docker.DockerClient, busybox: str) -> None:
    with connected(client) as engine:
        assert stage_base(engine, "portable", busybox, lambda _: None) == busybox


def test_the_suite_of_a_base() -> None:
    assert suite_of("debian:trixie-slim") == "trixie"
    assert suite_of("tether-test/debian:sid") == "sid"
    assert suite_of("something:else") == "bookworm"
