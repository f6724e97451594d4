"""The miniforge recipe from end to end, with an installer and a channel on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tether_image_builder import BuildResult, memory, recipes
from tether_image_builder.environment import EnvironmentImage
from tether_image_builder.errors import EnvironmentUnavailable
from tether_server import CmdRunAction, EventStreamRuntime

from .conda_site import CondaSite
from .programs import output_of

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("miniforge"),
]

Build = Callable[..., BuildResult]
Settings = Callable[..., None]


@pytest.fixture(autouse=True)
def no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("TETHER_RECIPE", raising=False)


def test_the_environment_is_what_the_solver_chose(
    client: docker.DockerClient,
    conda_site: CondaSite,
    miniforge: EnvironmentImage,
    miniforge_steps: list[str],
) -> None:
    """The channel has an OpenSSL for newer images only: the oldest glibc decides."""
    asked = [Path(path).name for path in conda_site.asked]
    assert asked.count(conda_site.installer.name) == 1
    assert f"python-{conda_site.python}-0.conda" in asked
    [openssl] = {name for name in asked if name.startswith("openssl-")}
    assert openssl.endswith("-0.conda")
    assert any("MB: certificates" in step for step in miniforge_steps)
    program = "import platform, sys; print(platform.python_version(), sys.prefix)"
    command = ["/opt/tether/bin/python3", "-I", "-c", program]
    output = output_of(client, miniforge.image, command, network_mode="none")
    assert output.decode().split() == [conda_site.python, "/opt/tether"]


async def test_a_runtime_in_an_image_that_was_built_with_it(
    build: Build, debian: str, miniforge: EnvironmentImage, conda_settings: Settings, tmp_path: Path
) -> None:
    conda_settings()
    result = build(debian, env="miniforge")
    assert (result.environment, result.environment_image) == ("miniforge", miniforge.image)
    assert result.environment_reason == "it was asked for"
    assert 20e6 < sum(result.environment_parts.values()) < 90e6
    (tmp_path / "file").write_text("here\n")
    async with EventStreamRuntime(result.tag) as runtime:
        await runtime.run(CmdRunAction(command="cd /srv && export X=1"))
        seen = await runtime.run(CmdRunAction(command='echo "$X $PWD"; command -v python3'))
        assert (seen.exit_code, seen.content) == (1, "1 /srv\n")
        await runtime.upload(str(tmp_path / "file"), "/srv/file")
        done = await runtime.exec(["cat", "/srv/file"])
        assert (done.exit_code, done.stdout) == (0, b"here\n")
        await runtime.download("/srv/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "here\n"


async def test_auto_takes_it_where_the_engine_has_it(
    build: Build, debian: str, busybox: str, miniforge: EnvironmentImage, conda_settings: Settings
) -> None:
    conda_settings()
    result = build(debian)
    assert (result.environment, result.environment_reason) == ("miniforge", "this engine has it")
    assert build(result.tag).reused
    bare = build(busybox)
    assert bare.environment == "portable"
    assert bare.environment_reason == "the image has no glibc, and miniforge needs one"


async def test_mounted(
    debian: str,
    miniforge: EnvironmentImage,
    conda_settings: Settings,
    still_code: dict[str, bytes],
    client: docker.DockerClient,
) -> None:
    conda_settings()
    try:
        async with EventStreamRuntime(debian, inject="mount") as runtime:
            seen = await runtime.run(CmdRunAction(command="echo $((6 * 7))"))
            assert seen.content == "42\n"
            found = await runtime.exec(["/opt/tether/bin/python3", "-I", "-V"])
            assert found.exit_code == 0
    finally:
        wanted = {"label": f"tether.fingerprint={miniforge.fingerprint}"}
        volumes = client.volumes.list(filters=wanted)
        for volume in volumes:
            volume.remove()
    assert volumes


def checksum_problem(site: CondaSite) -> str:
    right = site.settings["TETHER_MINIFORGE_SHA256"]
    return (
        "the runtime environment 'miniforge' could not be built: the checksum of"
        f" {site.url}/{site.installer.name} is wrong: sha256 {right}, and {'0' * 64} is expected"
    )


def test_auto_takes_portable_where_miniforge_cannot_be_built(
    build: Build,
    client: docker.DockerClient,
    debian: str,
    conda_site: CondaSite,
    conda_settings: Settings,
) -> None:
    conda_settings(TETHER_MINIFORGE_SHA256="0" * 64)
    result = build(debian)
    assert result.environment == "portable"
    assert result.environment_reason == checksum_problem(conda_site)
    assert build(debian).reused  # which tries nothing again


@pytest.mark.slow
def test_an_installer_with_another_checksum_is_refused(
    build: Build, debian: str, conda_site: CondaSite, conda_settings: Settings
) -> None:
    conda_settings(TETHER_MINIFORGE_SHA256="0" * 64)
    with pytest.raises(EnvironmentUnavailable) as caught:
        build(debian, env="miniforge")
    assert caught.value.message.splitlines()[0] == checksum_problem(conda_site)
    assert "TETHER_MINIFORGE_URL" in str(caught.value.hint)


@pytest.mark.slow
def test_an_installer_that_is_not_there(
    build: Build, debian: str, conda_site: CondaSite, conda_settings: Settings
) -> None:
    missing = f"{conda_site.url}/missing.sh"
    conda_settings(TETHER_MINIFORGE_URL=missing)
    with pytest.raises(EnvironmentUnavailable) as caught:
        build(debian, env="miniforge")
    assert f"{missing} cannot be downloaded: File not found" in caught.value.message


def test_where_there_is_no_installer_auto_takes_portable(
    build: Build, debian: str, conda_site: CondaSite, conda_settings: Settings
) -> None:
    missing = f"{conda_site.url}/missing.sh"
    conda_settings(TETHER_MINIFORGE_URL=missing)
    steps: list[str] = []
    result = build(debian, progress=lambda step: steps.append(str(step)))
    reason = f"miniforge cannot be had from {missing}: the server answers 404 File not found"
    assert (result.environment, result.environment_reason) == ("portable", reason)
    assert f"the runtime environment 'portable': {reason}" in steps


DOWNLOAD = recipes.recipes_folder() / "miniforge" / "download.py"


def download(folder: Path, url: str, checksum: str) -> subprocess.CompletedProcess[str]:
    """What the build stage runs, with the roots of this machine."""
    text = DOWNLOAD.read_text().replace("/host/ca.crt", "/etc/ssl/certs/ca-certificates.crt")
    command = [sys.executable, "-I", "-c", text, url, checksum, str(folder / "installer.sh")]
    environment = {**os.environ, "no_proxy": "*"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_download_that_fails_says_why(tmp_path: Path, conda_site: CondaSite) -> None:
    right = conda_site.settings["TETHER_MINIFORGE_SHA256"]
    url = f"{conda_site.url}/{conda_site.installer.name}"
    assert download(tmp_path, url, right.upper()).returncode == 0
    assert (tmp_path / "installer.sh").read_bytes() == conda_site.installer.read_bytes()
    for address, reason in {
        f"{conda_site.url}/missing.sh": "cannot be downloaded: File not found",
        "http://user:secret@127.0.0.1:9/x.sh": "cannot be downloaded: [Errno 111]",
        "nonsense": "cannot be downloaded: unknown url type",
    }.items():
        done = download(tmp_path, address, right)
        assert done.returncode == 1
        assert done.stderr.startswith("recipe: ")
        assert reason in done.stderr
        assert "secret" not in done.stderr
