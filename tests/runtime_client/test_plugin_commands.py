"""Plugins' commands as programs in the run directory."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tether_runtime_client import plugin_commands
from tether_runtime_client.environment import Environment
from tether_runtime_client.plugin.declaration import Declaration
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.plugin_commands import write_commands
from tether_runtime_client.settings import ClientSettings

MODULE = """
import sys
def main(places):
    print(sys.argv[1:], places.state.name, places.skills.name, places.prefix)
    return 3
"""


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    (tmp_path / "run").mkdir()
    return ClientSettings(run_dir=tmp_path / "run", plugins=tmp_path / "plugins")


def install(settings: ClientSettings, name: str, **commands: str) -> None:
    site = settings.plugins_folder / name / "site"
    site.mkdir(parents=True)
    (site / f"of_{name}.py").write_text(MODULE)
    declaration = Declaration(name=name, door=1, commands=commands)
    plugin = InstalledPlugin(
        declaration=declaration, version="1", path=(str(site),), prefix=str(site.parent)
    )
    (site.parent / "plugin.json").write_text(plugin.model_dump_json())


def run(program: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_command_runs_with_its_plugin_s_packages_and_places(settings: ClientSettings) -> None:
    install(settings, "one", greet="of_one:main")
    folder = write_commands(settings)
    assert folder == str(settings.run_dir / "bin")
    code, out = run(Path(folder, "greet"), "a b", "c")
    assert (code, out) == (3, f"['a b', 'c'] one skills {settings.plugins_folder}/one\n")


def test_where_the_interpreter_s_path_is_too_long_a_shell_starts_it(
    settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(settings, "one", greet="of_one:main")
    link = settings.run_dir / "a folder of people" / Path(sys.executable).name
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    monkeypatch.setattr(plugin_commands, "_LONGEST", 20)
    folder = write_commands(settings)
    assert folder is not None
    text = Path(folder, "greet").read_text()
    assert text.startswith("#!/bin/sh\n")
    compile(text, "greet", "exec")


def test_a_folder_that_others_can_change_is_not_put_on_the_path(
    settings: ClientSettings, caplog: pytest.LogCaptureFixture
) -> None:
    install(settings, "one", greet="of_one:main")
    (settings.run_dir / "skills").mkdir()
    (settings.run_dir / "skills").chmod(0o777)
    assert write_commands(settings) is None
    assert "can be changed by others" in caplog.text
    (settings.run_dir / "skills").chmod(0o755)
    (settings.run_dir / "bin").rmdir()
    (settings.run_dir / "bin").symlink_to(settings.run_dir / "skills")
    assert write_commands(settings) is None


def test_no_command_no_folder(settings: ClientSettings) -> None:
    assert write_commands(settings) is None
    install(settings, "one")
    assert write_commands(settings) is None
    assert not (settings.run_dir / "bin").exists()


def test_what_cannot_be_used_is_left_out(
    settings: ClientSettings, caplog: pytest.LogCaptureFixture
) -> None:
    install(settings, "one", greet="of_one:main")
    install(settings, "two", greet="of_two:main", other="of_two:main")
    for name, text in {
        "bad": "{",
        "worse": "[]",
        "odd": '{"declaration": {"commands": 3}}',
    }.items():
        (settings.plugins_folder / name).mkdir()
        (settings.plugins_folder / name / "plugin.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        folder = write_commands(settings)
    assert folder is not None
    assert "the command greet of two is that of another plugin" in caplog.text
    assert "worse/plugin.json cannot be read" in caplog.text
    assert "of_one" in Path(folder, "greet").read_text()
    assert "of_two" in Path(folder, "other").read_text()


def test_the_folder_comes_first_on_the_path(tmp_path: Path) -> None:
    environment = Environment({"PATH": "/bin"}, tmp_path / "env.json", "/run/bin")
    assert environment.of_commands["PATH"] == environment.of_people["PATH"] == "/run/bin:/bin"
    without = Environment({}, tmp_path / "env.json", "/run/bin").of_commands["PATH"]
    assert without.startswith("/run/bin:/usr/local/sbin:")
