"""What a sandbox was made with, held against what was asked for and what is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.protocol.errors import PluginMissing
from tether_server.plugins.asked import check_there
from tether_server.plugins.versions import compared_with_here


def test_the_same_version_is_no_news(installed: Path) -> None:
    assert compared_with_here({}) == []
    assert compared_with_here({"tides": "1.2", "moon": "7"}) == []


def test_another_version_is_told_with_what_to_do(installed: Path) -> None:
    [warning] = compared_with_here({"tides": "2.0", "moon": "7"})
    assert warning.plugin == "tides"
    assert "version 2.0, and 1.2 is installed here" in warning.message
    assert "Install version 2.0 here" in warning.hint


def test_one_that_is_not_there_is_missed() -> None:
    check_there([], {"tides": "1.2"})
    check_there(["tides"], {"tides": "1.2", "moon": "7"})
    with pytest.raises(PluginMissing, match="without the plugin 'tide'; it has moon, tides"):
        check_there(["tides", "tide"], {"tides": "1.2", "moon": "7"})
    with pytest.raises(PluginMissing, match="it has none"):
        check_there(["tides"], {})
