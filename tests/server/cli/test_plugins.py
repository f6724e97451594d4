"""Plugins on the command line: what is listed, completed and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tether_runtime_client.protocol.plugin_observations import PluginInfo
from tether_server import SyncEventStreamRuntime
from tether_server.cli.main import main
from tether_server.cli.pairs import port_pair
from tether_server.cli.plugin_options import PLUGINS, SIDECAR, asked_for, asked_sidecars
from tether_server.cli.plugins import _show_running

from ..plugins import tides


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    with tides.fresh_classes():
        tides.install(folder)
        yield folder


def test_the_installed_ones_are_listed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    assert "tides 1.2  Knows when the water is high.\n" in shown
    for line in ("tides.look, tides.raw", "tides.wave", "some_tides.skills", "some-tides"):
        assert line in shown
    assert "some_tides" not in sys.modules


def test_they_are_listed_for_programs(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["tides"]["version"] == "1.2"
    assert list(found["tides"]["ports"]) == ["map"]


def test_one_that_cannot_be_used_says_why(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tides.install(site, **{"tether-plugin.toml": "name = 7"})
    assert main(["plugins"]) == 0
    said = capsys.readouterr()
    assert "the plugin tides cannot be used" in said.err
    assert "tides 1.2" not in said.out


def test_an_action_is_done(
    site: Path, state_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "fields").write_text('{"days": 2}')
    with SyncEventStreamRuntime(
        backend="local", plugins={"tides": {"harbour": "Dover"}}
    ) as runtime:
        act = ["act", runtime.name]
        assert main([*act, "tides.look", f"@{tmp_path}/fields"]) == 0
        found = json.loads(capsys.readouterr().out)
        level = {"height": 1.5, "mark": ""}
        assert found == {"observation": "tides.level", "harbour": "Dover", "levels": [level] * 2}
        assert main([*act, "tides.raw"]) == 0
        assert json.loads(capsys.readouterr().out)["harbour"] == "raw"
        for wrong, said in (
            (["tides"], "'tides' is no kind of action: PLUGIN.ACTION"),
            (["tides.look", '{"days": "x"}'], "this is no action tides.look: days: "),
            (["tides.look", "[]"], "the action tides.look is no object"),
            (["tides.none"], "the plugin 'tides' has no action 'tides.none'; it has tides.look"),
            (["moon.look"], "no plugin 'moon'"),
        ):
            assert main([*act, *wrong]) == 125
            assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ti", ["tides"]), ("jupyter,ti", ["jupyter,tides"]), ("tides,ti", []), ("nope", [])],
)
def test_names_are_completed(site: Path, typed: str, offered: list[str]) -> None:
    command = click.Command("run")
    option = click.Option(["--plugin"], type=PLUGINS)
    items = PLUGINS.shell_complete(click.Context(command), option, typed)
    assert [item.value for item in items] == offered


@pytest.mark.parametrize(("typed", "offered"), [("", ["browser"]), ("b", ["browser"]), ("j", [])])
def test_plugins_with_sidecars_are_completed(typed: str, offered: list[str]) -> None:
    option = click.Option(["--sidecar"], type=SIDECAR)
    items = SIDECAR.shell_complete(click.Context(click.Command("run")), option, typed)
    assert [item.value for item in items] == offered


def test_limits_of_sidecars() -> None:
    limits = {"mem_limit": "2g", "pids_limit": 9}
    asked = asked_sidecars(["browser,mem_limit=2g,pids_limit=9", "other"])
    assert asked == {"browser": {"resources": limits}, "other": {"resources": {}}}
    with pytest.raises(click.UsageError, match="'2g' is no resource"):
        asked_sidecars(["browser,2g"])


def test_a_sidecar_without_its_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--sidecar", "browser", "image", "--", "true"]) != 0
    said = capsys.readouterr().err
    assert "Ask for it too: --plugin browser" in said


def test_the_shell_asks_for_them(site: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "COMP_WORDS": "tether run --plugins ti",
        "COMP_CWORD": "3",
        "_TETHER_COMPLETE": "bash_complete",
    }
    command = [sys.executable, "-m", "tether_server.cli"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,tides\n"


def test_how_those_of_a_sandbox_are(capsys: pytest.CaptureFixture[str]) -> None:
    _show_running(
        [
            PluginInfo(name="idle", version="1", state="idle", ports={"map": 8000}),
            PluginInfo(name="well", version="1", state="running", pid=7),
            PluginInfo(name="ill", version="1", state="running", pid=8, problem="no disk"),
            PluginInfo(name="bad", version="\x1b[2J" * 99, state="failed", problem="\x1b[2Jx\ny"),
        ],
        as_json=False,
    )
    shown = capsys.readouterr().out
    lines = [line.split() for line in click.unstyle(shown).splitlines()]
    assert lines[0] == ["NAME", "VERSION", "STATE", "PID", "PORTS"]
    assert lines[1] == ["idle", "1", "idle", "-", "idle.map", "8000"]
    assert lines[2] == ["well", "1", "running", "7", "-"]
    assert lines[3] == ["ill", "1", "unwell", "8", "-", "no", "disk"]
    assert "failed" in lines[4]
    assert "\x1b[2J" not in shown
    assert len(lines) == 5


def test_names_and_configurations(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"b": [2]}')
    asked = asked_for(("one,two", "three"), ('one={"a": 1}', f"three=@{file}"), ())
    assert asked == {"one": {"a": 1}, "two": None, "three": {"b": [2]}}
    assert asked_for((), ("one={}",), ("a-package",)) == {"one": {}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("one", "NAME=JSON, or NAME=@FILE"),
        ("=1", "NAME=JSON, or NAME=@FILE"),
        ("one={", "is no JSON"),
        ("one=7", "is no object"),
        ("one=@/nowhere", "No such file"),
        ("two={}", "give --plugin two too"),
    ],
)
def test_a_configuration_that_cannot_be_used(config: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        asked_for(("one",), (config,), ())


def test_what_the_runtime_refuses_is_told_with_its_hint(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--local", "--plugin", "tide", "--", "true"]) == 125
    said = capsys.readouterr().err
    assert "no plugin 'tide' is installed here" in said
    assert "Did you mean 'tides'?" in said


def test_a_plugins_port_has_a_name() -> None:
    assert port_pair("weather.map", names=True) == (0, "weather.map")
    assert port_pair("8000:weather.map", names=True) == (8000, "weather.map")
    assert port_pair("/tmp/map:weather.map", names=True) == ("/tmp/map", "weather.map")
    for text, names in (("weather.map", False), ("weather.map:8000", True), ("weather.", True)):
        with pytest.raises(click.UsageError):
            port_pair(text, names=names)
