"""Plugins in each kind of environment: what pip takes, and which libraries it finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tether_image_builder import BuildProgress, BuildResult, memory
from tether_image_builder.environment import EnvironmentImage

from ..test_build import PYTHON, run
from .packages import wheel

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.usefixtures("own_images"),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("miniforge"),
]

Build = Callable[..., BuildResult]
Settings = Callable[..., None]

DECLARATION = """
name = "lamp"
door = 1
[image]
pip = ["numpy"]
apt = ["jq"]
setup = "setup.sh"
"""
SETUP = 'cp /usr/bin/jq "$PREFIX/bin/"\n'
LOOK = """
import json, subprocess, sys
prefix = "/opt/tether/plugins/lamp"
sys.path.insert(0, prefix + "/site")
import numpy, numpy.linalg
jq = [prefix + "/bin/jq", "-n", "6 * 7"]
print(json.dumps({
    "sum": int(numpy.arange(1000).sum()),
    "solved": numpy.linalg.solve([[2.0]], [4.0]).tolist(),
    "jq": subprocess.run(jq, capture_output=True, text=True).stdout,
}))
"""


@pytest.fixture
def lamp(tmp_path: Path) -> str:
    files = {"tether-plugin.toml": DECLARATION, "setup.sh": SETUP}
    return str(wheel(tmp_path, "lamp", **files))


def test_a_binary_wheel_and_a_program_in_the_portable_one(
    client: docker.DockerClient, build: Build, busybox: str, lamp: str
) -> None:
    result = build(busybox, env="portable", plugin_packages=[lamp])
    seen = json.loads(run(client, result.tag, [PYTHON, "-I", "-c", LOOK], user="1234"))
    assert seen["sum"] == 499500
    assert seen["solved"] == [2.0]
    assert seen["jq"] == "42\n"


def test_the_same_in_one_that_uses_the_image_s_libc(
    client: docker.DockerClient,
    build: Build,
    debian: str,
    lamp: str,
    miniforge: EnvironmentImage,
    conda_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "cache_folder", lambda: tmp_path / "cache")
    conda_settings()
    steps: list[BuildProgress] = []
    result = build(debian, env="miniforge", plugin_packages=[lamp], progress=steps.append)
    assert result.environment_image == miniforge.image
    assert result.plugins[0].image.startswith("tether-plugin-lamp-package-miniforge:")
    seen = json.loads(run(client, result.tag, [PYTHON, "-I", "-c", LOOK], user="1234"))
    assert (seen["sum"], seen["solved"], seen["jq"]) == (499500, [2.0], "42\n")
    warnings = [str(step) for step in steps if "[Warning]" in str(step)]
    assert any("bin/jq needs glibc 2.3" in line for line in warnings)  # Debian's own is newer
    assert not any("numpy" in line for line in warnings)  # wheels for the oldest were taken
