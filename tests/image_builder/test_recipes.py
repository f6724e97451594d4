from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tether_image_builder import recipes
from tether_image_builder.catalog import BUILT_IN, find_recipe
from tether_image_builder.context import context_archive
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.fingerprint import fingerprint


def test_a_fingerprint_depends_on_names_and_contents_and_not_on_their_order() -> None:
    assert fingerprint({"a": "1", "b": b"2"}) == fingerprint({"b": "2", "a": b"1"})
    assert fingerprint({"a": "12", "b": ""}) != fingerprint({"a": "1", "b": "2"})
    assert fingerprint({"ab": "1"}) != fingerprint({"a": "b1"})


def test_an_archive_is_the_same_every_time() -> None:
    files = {"b": b"2", "a": b"1"}
    assert context_archive(files) == context_archive(dict(reversed(files.items())))


def test_every_requirement_is_pinned() -> None:
    pinned = set(
        re.findall(r"^([\w-]+)==", recipes.common_files()["constraints.txt"].decode(), re.M)
    )
    required = {re.split(r"[<>=~! ]", line, maxsplit=1)[0] for line in recipes.requirements()}
    assert {"pydantic", "websockets", "pexpect"} <= required <= pinned


def test_the_code_is_the_installed_package_without_compiled_files() -> None:
    files = recipes.code_files()
    assert "tether_runtime_client/__init__.py" in files
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]
    assert any(name.endswith(".dist-info/METADATA") for name in files)


def test_what_an_environment_is_made_of_is_in_its_fingerprint(
    code: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "code_files", lambda: dict(code))
    first = EnvironmentRecipe.load("portable", "linux/amd64").described

    monkeypatch.setattr(recipes, "code_files", lambda: {**code, "more.py": b""})
    changed = EnvironmentRecipe.load("portable", "linux/amd64").described
    assert changed.base_image == first.base_image  # only the code is copied again
    assert changed.fingerprint != first.fingerprint

    other = EnvironmentRecipe.load("portable", "linux/arm64").described
    assert other.base_image != first.base_image


def test_an_unknown_environment() -> None:
    with pytest.raises(ValueError, match="there are auto, miniforge, portable"):
        EnvironmentRecipe.load("conda", "linux/amd64")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, tether_image_builder;"
        "print(sorted({'docker', 'click', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_the_builder_does_not_know_the_server() -> None:
    folder = recipes.package_folder("tether_image_builder")
    assert not [path for path in Path(folder).glob("*.py") if "tether_server" in path.read_text()]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_classic_builder_can_read_the_recipe(name: str) -> None:
    files = {**find_recipe(name).files, "Dockerfile.code": recipes.code_recipe()}
    for file, content in files.items():
        if file.startswith("Dockerfile"):
            assert not re.search(rb"--mount|--link|<<|# syntax=", content)
