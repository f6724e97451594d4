"""What a sandbox has, held against what is installed here."""

from __future__ import annotations

from pathlib import Path

from tether_runtime_client.plugin.discovery import find_plugin
from tether_runtime_client.protocol.plugin_observations import PluginInfo
from tether_server.plugins.versions import difference

SAME = PluginInfo(name="tides", version="1.2", state="idle")


def test_the_same_version_is_no_news(installed: Path) -> None:
    assert difference("tides", SAME, find_plugin("tides")) is None
    assert difference("tides", SAME, None) is None, "it is not installed here"


def test_another_version_is_told_with_what_to_do(installed: Path) -> None:
    other = PluginInfo(name="tides", version="2.0", state="idle")
    warning = difference("tides", other, find_plugin("tides"))
    assert warning is not None
    assert "version 2.0, and 1.2 is installed here" in warning.message
    assert "Install version 2.0 here" in warning.hint


def test_one_that_cannot_be_used_says_why(installed: Path) -> None:
    broken = PluginInfo(name="tides", version="", state="failed", problem="it is for door 99")
    warning = difference("tides", broken, find_plugin("tides"))
    assert warning is not None
    assert warning.message == "it is for door 99"


def test_one_that_is_gone_says_how_to_get_it() -> None:
    warning = difference("tides", None, None)
    assert warning is not None
    assert "runtime-build" in warning.hint
