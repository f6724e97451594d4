"""What a sandbox has, held against what is installed here."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.plugin.discovery import find_plugin
from tether_runtime_client.protocol.errors import PluginMissing
from tether_runtime_client.protocol.plugin_observations import PluginInfo
from tether_server.plugins import versions
from tether_server.plugins.versions import check_plugins, difference

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


class Answering:
    """A sandbox as far as it is asked here."""

    def __init__(self, *infos: PluginInfo, waits: bool = False) -> None:
        self._infos = infos
        self._waits = waits

    async def plugins(self) -> tuple[PluginInfo, ...]:
        if self._waits:
            await asyncio.get_running_loop().create_future()
        return self._infos


async def told_by(calls: Any, *, attached: bool, asked: tuple[str, ...] = ("tides",)) -> list[Any]:
    told: list[Any] = []
    await check_plugins(calls, asked, told.append, attached=attached)
    return told


async def test_all_that_is_installed_here_is_compared(installed: Path) -> None:
    other = PluginInfo(name="tides", version="2.0", state="idle")
    [warning] = await told_by(Answering(other), attached=False, asked=())
    assert warning.plugin == "tides"


async def test_one_that_an_attached_sandbox_lost_is_told(installed: Path) -> None:
    with pytest.raises(PluginMissing):
        await told_by(Answering(), attached=False)
    [warning] = await told_by(Answering(), attached=True)
    assert "no more" in warning.message


async def test_a_sandbox_that_does_not_answer_is_not_waited_for(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "ANSWER_TIMEOUT_S", 0.05)
    silent = Answering(waits=True)
    with pytest.raises(PluginMissing, match="does not tell its plugins"):
        await told_by(silent, attached=False)
    assert await told_by(silent, attached=True) == []


async def test_any_number_of_plugins_costs_little(installed: Path) -> None:
    many = [
        PluginInfo(name=f"p{number}", version="\x1b[2J", state="failed", problem="x")
        for number in range(20_000)
    ]
    began = time.monotonic()
    assert await told_by(Answering(SAME, *many), attached=True) == []
    assert time.monotonic() - began < 2
