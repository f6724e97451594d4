"""`runtime-build --spec`, as a user calls it, and the function that it calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
from click.testing import CliRunner, Result
from docker.models.images import Image

from tether_image_builder import BuildResult
from tether_image_builder.cli import main
from tether_image_builder.spec import FileStep, ShellStep, Spec

from .programs import output_of

Build = Callable[..., BuildResult]
MakeImage = Callable[..., Image]
Write = Callable[[str], Path]

STEPS = """
[secrets]
token = { env = "TETHER_NO_SUCH_VARIABLE" }

[[steps]]
kind = "shell"
commands = ["echo one >/one"]

[[steps]]
kind = "file"
source = "data"
destination = "/srv/data"

[[steps]]
kind = "shell"
commands = ["sudo true"]
secrets = ["token"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec, with something to copy beside it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("one")

    def write(text: str) -> Path:
        path = tmp_path / "task.toml"
        path.write_text(text)
        return path

    return write


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_lint_prints_and_needs_no_engine(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    path = write(STEPS)
    found = invoke("--spec", path, "--lint")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.startswith("step 3, line 1: sudo: ")
    strict = invoke("--spec", path, "--lint", "--strict")
    assert (strict.exit_code, strict.stdout) == (9, "")
    assert "step 3, line 1: sudo: " in strict.stderr
    assert invoke("--spec", path, "debian", "--strict").exit_code == 9  # before any engine

    fine = write('[[steps]]\nkind = "shell"\ncommands = "true"')
    assert invoke("--spec", fine, "--lint", "--strict").stdout == ""


@pytest.mark.parametrize(
    ("text", "arguments", "exit_code", "said"),
    [
        ("", [], 2, "names none either"),
        ("image = 1", [], 9, "task.toml: field `image`"),
        ("image = ", ["debian"], 9, "it is no TOML"),
    ],
)
def test_a_spec_that_cannot_be_used(
    write: Write, text: str, arguments: list[str], exit_code: int, said: str
) -> None:
    result = invoke("--spec", write(text), *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert said in result.stderr


def test_lint_without_a_spec(tmp_path: Path) -> None:
    assert invoke("--lint").exit_code == 2
    assert invoke("--lint", "--spec", tmp_path / "missing").exit_code == 9


@pytest.mark.engine
def test_a_dry_run_shows_the_steps_and_does_nothing(
    client: docker.DockerClient, write: Write, busybox: str, still_code: object
) -> None:
    result = invoke("--spec", write(STEPS), busybox, "--dry-run")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    told = [line for line in lines if line.startswith("#")]
    assert told[0].startswith(f"# {busybox.partition(':')[0]}_tether:")
    assert "#     copy 'data' to '/srv/data' (owner root, mode as it is, 1 files, 3 bytes)" in told
    assert "#     secret token from the variable TETHER_NO_SUCH_VARIABLE" in told
    assert "#       sudo true" in told
    last = next(line for line in lines if line.startswith("FROM ")).removeprefix("FROM ")
    assert told[-4].startswith(f"# step 3 makes {last}")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(last)


@pytest.mark.engine
def test_a_spec_is_built_once_and_another_client_does_no_step_again(
    client: docker.DockerClient,
    write: Write,
    busybox: str,
    names: list[str],
    still_code: dict[str, bytes],
) -> None:
    path = write(STEPS.replace("sudo true", "true").replace('secrets = ["token"]', ""))
    path.write_text(f'image = "{busybox}"\ntag = "tether-test/spec:1"\n{path.read_text()}')

    def build() -> dict[str, Any]:
        result = invoke("--spec", path, "--output", "json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        names.extend([found["tag"], *(step["image"] for step in found["steps"])])
        names.append(f"{busybox.partition(':')[0]}_tether:{found['fingerprint'][:16]}")
        return dict(found)

    first = build()
    assert first["tag"] == "tether-test/spec:1"
    assert [step["reused"] for step in first["steps"]] == [False] * 3
    assert [layer["part"] for layer in first["layers"]][:2] == ["user", "user"]
    assert all(layer["seconds"] > 0 for layer in first["layers"][:2])
    assert first["base_id"] == client.images.get(busybox).id

    second = build()
    assert (second["reused"], second["image_id"]) == (True, first["image_id"])
    assert [step["reused"] for step in second["steps"]] == [True] * 3
    assert [step["bytes"] for step in second["steps"]] == [4, 3, 0]

    still_code["tether_runtime_client/more.py"] = b"MORE = 1\n"
    third = build()
    assert third["reused"] is False
    assert [step["reused"] for step in third["steps"]] == [True] * 3

    (path.parent / "data" / "a").write_text("two\n")
    fourth = build()
    assert [step["reused"] for step in fourth["steps"]] == [True, False, False]
    assert fourth["fingerprint"] != third["fingerprint"]
    told = output_of(
        client, "tether-test/spec:1", ["-c", "cat /one /srv/data/a"], entrypoint=["/bin/sh"]
    )
    assert told == b"one\ntwo\n"


@pytest.mark.engine
def test_a_step_that_fails(write: Write, busybox: str, still_code: object) -> None:
    path = write('[[steps]]\nkind = "shell"\ncommands = ["sudo echo >&2", "false"]')
    result = invoke("--spec", path, busybox)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "[Warning] step 1, line 1: sudo: " in result.stderr
    assert "step 1 failed with exit code 127 at `sudo echo >&2`" in result.stderr


@pytest.mark.engine
def test_an_image_without_a_shell_and_with_instructions_for_later_builds(
    client: docker.DockerClient,
    make_image: MakeImage,
    busybox: str,
    build: Build,
    tmp_path: Path,
    names: list[str],
) -> None:
    base = make_image(
        f"FROM {busybox} AS all\nFROM scratch\nCOPY --from=all /bin/busybox /busybox\n"
        'ONBUILD COPY missing /\nCMD ["/busybox", "true"]'
    ).tags[0]
    (tmp_path / "a").write_text("x\n")
    steps = (
        FileStep(source="a", destination="/a"),
        ShellStep(commands=("/busybox cat /a >/b",)),
    )
    result = build(base, spec=Spec(steps=steps, folder=tmp_path))
    names += [step.image for step in result.steps]
    assert result.command == ("/busybox", "true")
    config = client.images.get(result.tag).attrs["Config"]
    assert (config["Entrypoint"] or [], config["Cmd"]) == ([], ["/busybox", "true"])
    told = output_of(client, result.tag, ["cat", "/b"], entrypoint=["/busybox"])
    assert told == b"x\n"


@pytest.mark.engine
def test_an_option_counts_more_than_the_spec(
    build: Build, busybox: str, names: list[str], tmp_path: Path
) -> None:
    spec = Spec(image="tether-test/no-such-image", tag="tether-test/spec:2", env="portable")
    result = build(busybox, spec=spec, tag="tether-test/spec:3")
    names.append(build(busybox).tag)
    assert (result.tag, result.steps) == ("tether-test/spec:3", ())


def test_no_image_at_all(build: Build) -> None:
    with pytest.raises(ValueError, match="no image to build from"):
        build(None, spec=Spec())


def test_a_dry_run_lints_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    path = write(STEPS)
    strict = invoke("--spec", path, "debian", "--dry-run", "--strict")
    assert (strict.exit_code, strict.stdout) == (9, "")
    assert "step 3, line 1: sudo: " in strict.stderr
    assert (
        "[Warning] step 3, line 1: sudo: " in invoke("--spec", path, "debian", "--dry-run").stderr
    )


@pytest.mark.parametrize("option", ["--dry-run", "--lint"])
def test_json_is_for_a_build(write: Write, option: str) -> None:
    result = invoke("--spec", write(STEPS), "debian", option, "--output", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--output json" in result.stderr


@pytest.mark.engine
def test_secrets_are_asked_for_before_the_first_step(
    client: docker.DockerClient, write: Write, busybox: str, still_code: object
) -> None:
    path = write(STEPS)
    first = next(
        line
        for line in invoke("--spec", path, busybox, "--dry-run").stdout.splitlines()
        if line.startswith("# step 1 makes ")
    ).split()[-1]
    result = invoke("--spec", path, busybox)
    assert (result.exit_code, result.stdout) == (9, "")
    assert "the variable TETHER_NO_SUCH_VARIABLE is not set" in result.stderr
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(first)


@pytest.mark.engine
@pytest.mark.parametrize("option", ["--dry-run", "--no-cache"])
def test_a_folder_of_the_image_is_kept_before_anything_is_built(
    write: Write, busybox: str, still_code: object, option: str
) -> None:
    path = write('[[steps]]\nkind = "file"\nsource = "data/a"\ndestination = "/etc"')
    result = invoke("--spec", path, busybox, option)
    assert (result.exit_code, result.stdout) == (9, "")
    assert "step 1, field `destination`: /etc is a folder in the image" in result.stderr
    assert "Write `/etc/` to put the file into it" in result.stderr
    assert "environment:" not in result.stderr
