"""The options about plugins, as a user gives them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tether_image_builder.cli import main

from .conftest import PROBE, Install


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def completions(*words: str, incomplete: str) -> list[str]:
    shell = ShellComplete(main, {}, "runtime-build", "_RUNTIME_BUILD_COMPLETE")
    return [item.value for item in shell.get_completions(list(words), incomplete)]


def test_the_shell_completes_names_of_plugins(install: Install) -> None:
    install("lamp")
    install("lantern")
    assert completions("--plugins", incomplete="la") == ["lamp", "lantern"]
    assert completions("--plugins", incomplete="lamp,la") == ["lamp,lantern"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--plugins", "lamp,lump"], 10, "no plugin 'lump' is installed here; there are "),
        (["--plugin-package", "./nowhere"], 10, "there is no folder "),
        (["--plugin-package", "--index-url=x"], 10, "neither a pip requirement nor"),
        (["--plugins", "lamp", "--plugin-package", str(PROBE)], 3, "no container engine"),
        (["--dry-run", "--plugins", " lamp , lump"], 10, "no plugin 'lump'"),
    ],
)
def test_what_cannot_be_had_is_said_before_an_engine_is_asked(
    install: Install, arguments: list[str], code: int, said: str
) -> None:
    install("lamp")
    result = CliRunner().invoke(main, ["debian", *arguments])
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_without_plugins_nothing_of_them_is_loaded() -> None:
    program = (
        "import sys, tether_image_builder.cli, tether_image_builder.build,"
        " tether_image_builder.mount;"
        "loaded = [name for name in sys.modules if name.startswith("
        "('tether_image_builder.plugins', 'tether_runtime_client.plugin'))];"
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
