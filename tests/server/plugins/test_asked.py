"""What a runtime is asked for: names and configurations, refused before anything starts."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tether_runtime_client.plugin.load import configured
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.message import Message
from tether_server.plugins.asked import MAX_CONFIG, asked_plugins, encoded_config

from . import tides


class Another(Message):
    harbour: str = "Brest"


@pytest.mark.parametrize("nothing", [(), [], {}])
def test_nothing_is_asked_for(nothing: Any) -> None:
    assert asked_plugins(nothing) == {}
    assert encoded_config({}) == ""


def test_names_and_configurations(installed: Path) -> None:
    assert asked_plugins(["tides", "tides"]) == {"tides": {}}
    assert asked_plugins({"tides": None}) == {"tides": {}}
    config = MappingProxyType({"harbour": "Dover"})
    assert asked_plugins({"tides": config}) == {"tides": {"harbour": "Dover"}}


def test_only_what_was_given_is_passed_on(installed: Path) -> None:
    """The defaults are those of the plugin's version in the sandbox."""
    assert "depth" not in asked_plugins({"tides": {"harbour": "Dover"}})["tides"]


def test_a_configuration_reaches_the_plugin_as_it_was(installed: Path) -> None:
    from importlib import import_module

    model = import_module("some_tides.messages").TidesConfig
    given = model(harbour="Déville", depth=2.25, key=bytes(range(256)))
    text = b64decode(encoded_config(asked_plugins({"tides": given})))
    assert configured(model, json.loads(text)["tides"]) == given


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ("tides", "a list of names", 'plugins=["tides"]'),
        (["Tides"], "no plugin's name", "lower-case"),
        (["../tides"], "no plugin's name", "lower-case"),
        ([7], "no plugin's name", "lower-case"),
        (["tide"], "no plugin 'tide' is installed here; there are .*tides", "Did you mean 'tides'"),
        ({"tides": {"depht": 1}}, "'tides': depht: Extra inputs", "harbour, depth, key"),
        ({"tides": {"depth": "deep"}}, "'tides': depth: .*valid number", "harbour"),
        ({"tides": ["Dover"]}, "is no mapping", "Such as"),
        ({"tides": Another()}, "is a Another, which is another's", "Give a TidesConfig"),
    ],
)
def test_what_is_wrong_is_said(installed: Path, asked: Any, message: str, hint: str) -> None:
    with pytest.raises(PluginInvalid, match=message) as refusal:
        asked_plugins(asked)
    assert hint in refusal.value.hint


def test_what_was_given_is_not_repeated(installed: Path) -> None:
    """It may be a key, and errors go into logs."""
    with pytest.raises(PluginInvalid) as refusal:
        asked_plugins({"tides": {"depth": "sesame"}})
    assert "sesame" not in str(refusal.value)


def test_a_secret_is_refused(site: Path) -> None:
    """As JSON it would be asterisks, and as an argument of a process for everybody."""
    field = 'key: pydantic.SecretStr = pydantic.SecretStr("")'
    messages = tides.MESSAGES.replace('key: bytes = b""', field)
    tides.install(site, **{"messages.py": "import pydantic\n" + messages})
    with pytest.raises(PluginInvalid, match="no place for one") as refusal:
        asked_plugins({"tides": {"key": "sesame"}})
    assert "sesame" not in str(refusal.value)
    assert asked_plugins({"tides": {"depth": 1}}) == {"tides": {"depth": 1.0}}


def test_a_plugin_without_a_configuration_takes_none(site: Path) -> None:
    declaration = tides.DECLARATION.replace('config = "some_tides.messages:TidesConfig"', "")
    tides.install(site, **{"tether-plugin.toml": declaration})
    assert asked_plugins({"tides": {}}) == {"tides": {}}
    with pytest.raises(PluginInvalid, match="takes no configuration"):
        asked_plugins({"tides": {"harbour": "Dover"}})


def test_one_that_cannot_be_imported_here_is_checked_in_the_sandbox(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tides.install(site, **{"messages.py": "raise SystemExit('no such library')"})
    assert asked_plugins({"tides": {"any": [1]}}) == {"tides": {"any": [1]}}
    assert "not checked here" in caplog.text
    with pytest.raises(PluginInvalid, match="holds what JSON cannot"):
        asked_plugins({"tides": {"any": object()}})


def test_one_of_a_package_to_come_is_not_known_yet(site: Path) -> None:
    asked = asked_plugins({"moon": {"phase": 1}}, packages=["some-moon"])
    assert asked == {"moon": {"phase": 1}}


def test_a_declaration_that_cannot_be_used_is_told(site: Path) -> None:
    tides.install(site, **{"tether-plugin.toml": 'name = "tides"\ndoor = 99\n'})
    with pytest.raises(PluginInvalid, match="version 99"):
        asked_plugins(["tides"])


def test_what_no_argument_can_hold_is_refused(installed: Path) -> None:
    with pytest.raises(PluginInvalid, match="is the most"):
        asked_plugins({"tides": {"harbour": "x" * MAX_CONFIG}})
