"""A recipe of somebody else's: small, in a folder, on top of an environment that is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
from click.testing import CliRunner

from tether_image_builder import BuildResult, ensure_environment
from tether_image_builder.cli import main
from tether_image_builder.errors import EnvironmentUnavailable
from tether_image_builder.manifest import Recipe

from .programs import output_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "recipes.md"
MANIFEST = """
name = "mine"
summary = "an environment with a word in it"
platforms = ["linux/amd64", "linux/arm64"]
base = "{base}"
hint = "find a better word"

[arguments.WORD]
default = "small"
variable = "MINE_WORD"
"""
DOCKERFILE = """
ARG BASE
FROM ${BASE} AS build
ARG STAGE
LABEL tether.stage=${STAGE}
COPY host /host
COPY common /common
COPY write.py /recipe/
ARG WORD
RUN ["/opt/tether/bin/python3", "-I", "/recipe/write.py"]

FROM scratch
COPY --from=build /opt/tether /opt/tether
"""
PROGRAM = """
import os, pathlib
word = os.environ["WORD"]
if word == "bad":
    raise SystemExit("recipe: bad is no word")
pathlib.Path("/opt/tether/share/word").write_text(word)
"""


@pytest.fixture
def mine(
    client: docker.DockerClient, still_code: dict[str, bytes], tmp_path: Path
) -> Iterator[Path]:
    base = ensure_environment("portable", client=client).base_image
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "recipe.toml").write_text(MANIFEST.format(base=base))
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "write.py").write_text(PROGRAM)
    yield folder
    for repository in ("tether-env-mine", "tether-env-mine-base"):
        for image in client.images.list(repository):
            client.images.remove(image.tags[0], force=True)


@pytest.mark.xdist_group("third-party")
def test_it_is_built_once_and_put_into_images(
    client: docker.DockerClient,
    build: Callable[..., BuildResult],
    busybox: str,
    mine: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = build(busybox, env=str(mine), build_args={"WORD": "large"})
    assert (result.environment, result.environment_reused) == ("mine", False)
    command = ["cat", "/opt/tether/share/word"]
    assert output_of(client, result.tag, command) == b"large"
    assert build(busybox, env=str(mine), build_args={"WORD": "large"}).reused
    monkeypatch.setenv("TETHER_RECIPE", str(mine))
    monkeypatch.setenv("MINE_WORD", "large")
    again = build(busybox)
    assert (again.image_id, again.environment_reason) == (
        result.image_id,
        "TETHER_RECIPE names it",
    )


@pytest.mark.xdist_group("third-party")
def test_its_failure_is_told_in_its_own_words(
    build: Callable[..., BuildResult], busybox: str, mine: Path
) -> None:
    with pytest.raises(EnvironmentUnavailable) as caught:
        build(busybox, env=str(mine), build_args={"WORD": "bad"})
    first = caught.value.message.splitlines()[0]
    assert first == "the runtime environment 'mine' could not be built: bad is no word"
    assert caught.value.hint == "find a better word"


def test_a_folder_that_is_no_recipe_is_wrong_usage(tmp_path: Path, busybox: str) -> None:
    result = CliRunner().invoke(main, ["--env", str(tmp_path), busybox])
    assert result.exit_code == 2
    assert "there is no recipe.toml in it" in result.stderr
    result = CliRunner().invoke(main, ["--env", "nosuch", busybox])
    assert result.exit_code == 2
    assert "there are auto, miniforge, portable" in result.stderr


def test_the_documented_recipe_is_one(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    [manifest, _] = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [dockerfile] = re.findall(r"^```dockerfile\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "recipe.toml").write_text(manifest)
    (tmp_path / "Dockerfile").write_text(dockerfile)
    recipe = Recipe.load(tmp_path)
    url = "https://python.mine.example/3.12.4/x86_64.tar.gz"
    assert recipe.arguments("linux/amd64", {}, {})["ARCHIVE"] == url


def test_every_setting_of_the_miniforge_recipe_is_documented() -> None:
    manifest = Recipe.load(DOCUMENT.parents[1] / "docker" / "miniforge").manifest
    documented = dict(re.findall(r"^\| `(TETHER_\w+)` \| `(\w+)` \|", DOCUMENT.read_text(), re.M))
    assert documented == {each.variable: name for name, each in manifest.arguments.items()}
