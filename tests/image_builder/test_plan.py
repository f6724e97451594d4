"""The fingerprint: over all that decides on the result, and over nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tether_image_builder.choice import Choice
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.models import BuildOptions, Image
from tether_image_builder.plan import Plan, make_plan

ROOT = Path(__file__).parent.parent.parent
IMAGE = Image(
    image_id="sha256:" + "0123456789abcdef" * 4,
    names=("app:1",),
    platform="linux/amd64",
    size=1,
    labels={"b": "2", "a": "1"},
    user="",
    entrypoint=None,
    command=("sh",),
    has_triggers=False,
    parent="",
    created=datetime(2020, 1, 1, tzinfo=UTC),
    layer_ids=(),
)


def plan(
    name: str = "app:1",
    image: Image = IMAGE,
    env: str = "portable",
    arguments: Mapping[str, str] | None = None,
) -> Plan:
    arguments = arguments or {}
    recipe = EnvironmentRecipe.load(env, image.platform, arguments)
    options = BuildOptions(env=env, arguments=arguments)
    return make_plan(name, image, options, Choice(recipe, "it was asked for"))


@pytest.fixture(autouse=True)
def _still(still_code: object) -> None:
    """The client's code does not change while the tests run."""


def test_the_name_decides_on_nothing_but_the_name() -> None:
    one, other = plan("app:1"), plan("registry.example:5000/team/other@sha256:" + "a" * 64)
    assert one.fingerprint == other.fingerprint
    assert one.tag != other.tag


@pytest.mark.parametrize("field", ["names", "size", "created", "layer_ids", "parent"])
def test_what_does_not_decide_is_not_in_it(field: str) -> None:
    other: Any = {"names": ("x:1",), "size": 2, "layer_ids": ("x",), "created": datetime.now(UTC)}
    changed: Any = {field: other.get(field, "sha256:1")}
    assert plan(image=replace(IMAGE, **changed)).fingerprint == plan().fingerprint


def test_the_image_s_id_and_its_platform_decide() -> None:
    first = plan().fingerprint
    assert plan(image=replace(IMAGE, image_id="sha256:" + "f" * 64)).fingerprint != first
    assert plan(image=replace(IMAGE, platform="linux/arm64")).fingerprint != first


def test_the_environment_and_its_arguments_decide() -> None:
    first = plan(env="miniforge").fingerprint
    assert first != plan().fingerprint
    [name, *_] = EnvironmentRecipe.load("miniforge", "linux/amd64").arguments
    assert plan(env="miniforge", arguments={name: "other"}).fingerprint != first
    assert plan(env="miniforge", arguments={"UNKNOWN": "other"}).fingerprint == first


def test_the_code_decides_and_leaves_the_environment_s_base_alone(
    still_code: dict[str, bytes],
) -> None:
    first = plan()
    still_code["tether_runtime_client/more.py"] = b""
    second = plan()
    assert second.fingerprint != first.fingerprint
    assert second.source.environment_base_image == first.source.environment_base_image


PROGRAM = """
import importlib.util, json, sys
sys.path[:0] = {paths!r}
spec = importlib.util.spec_from_file_location("given", {test!r})
given = importlib.util.module_from_spec(spec)
sys.modules["given"] = given
spec.loader.exec_module(given)
import tether_image_builder
print(json.dumps([tether_image_builder.__file__, given.plan().fingerprint, given.plan().tag]))
"""
COPIED = ("docker", "image_builder", "plugins", "runtime_client", "server")


def planned_elsewhere(checkout: Path, umask: int, **environment: str) -> list[str]:
    """As by somebody else: another place, home, mask, and order of sets."""
    packages = ("image_builder", "plugins", "runtime_client", "server")
    program = PROGRAM.format(paths=[str(checkout / each) for each in packages], test=__file__)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout), **environment},
        umask=umask,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    assert found[0].startswith(str(checkout))
    return found[1:]


def copy_of_the_checkout(folder: Path, mode: int) -> Path:
    """With other times and modes, and with what an interpreter and an editor leave behind."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, copy_function=shutil.copyfile, ignore=ignored)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(mode | (0o100 if path.is_dir() else 0))
        os.utime(path, (mode, mode))
    return folder


def test_two_machines_come_to_the_same_fingerprint(tmp_path: Path) -> None:
    one = copy_of_the_checkout(tmp_path / "one", 0o600)
    other = copy_of_the_checkout(tmp_path / "quite another place", 0o775)
    compiled = other / "runtime_client" / "tether_runtime_client" / "__pycache__"
    compiled.mkdir()
    (compiled / "version.cpython-311.pyc").write_bytes(b"stale")
    first = planned_elsewhere(one, 0o077, PYTHONHASHSEED="1", LANG="C", TZ="Asia/Tokyo")
    second = planned_elsewhere(
        other, 0o000, PYTHONHASHSEED="2", LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1"
    )
    assert first == second
