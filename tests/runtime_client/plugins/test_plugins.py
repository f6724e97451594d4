"""Plugins as they should be: found where they are installed, started once, and spoken to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tether_runtime_client.plugin.installed import installed_plugins
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.plugin_events import PluginFailed, PluginStarted, PluginStopped

from .conftest import MakeHouse
from .house import GOOD, SLOW_S, declared, install


async def test_an_action_starts_it_and_the_next_finds_it_there(make_house: MakeHouse) -> None:
    async with make_house(GOOD) as house:
        assert (await house.info("good")).state == "idle"
        assert await asyncio.gather(*(house.say(str(n)) for n in range(10))) == list("0123456789")
        [started] = house.told(PluginStarted)
        info = await house.info("good")
        assert (info.state, info.pid, info.version) == ("running", started.pid, "1.2.3")
        assert info.actions == ("good.say",)
        assert len(house.opaque("good.saying")) == 10


async def test_a_sandbox_without_plugins_says_so(make_house: MakeHouse) -> None:
    async with make_house() as house:
        with pytest.raises(e.PluginMissing, match="has no plugin 'weather'; it has none"):
            await house.run("weather.lookup")


async def test_those_that_are_to_run_from_the_beginning_do(make_house: MakeHouse) -> None:
    early = GOOD.model_copy(update={"start": "sandbox"})
    broken = declared("corpus.import_raises:Bad", start="sandbox")
    async with make_house(early, broken) as house:
        await house.plugins.start_with_the_client()
        assert [event.plugin for event in house.told(PluginStarted)] == ["good"]
        assert [event.plugin for event in house.told(PluginFailed)] == ["bad"]


async def test_all_are_ended_at_once(make_house: MakeHouse) -> None:
    async with make_house(GOOD, declared()) as house:
        await asyncio.gather(house.say(), house.do("nothing"))
        await house.plugins.close(SLOW_S)
        assert {event.plugin for event in house.told(PluginStopped)} == {"good", "bad"}


BROKEN = {
    "no JSON": (b"{", "cannot be read"),
    "another's": (b'{"declaration":{"name":"other","door":1},"version":"1"}', "of another plugin"),
    "another door": (
        b'{"declaration":{"name":"bad","door":2,"new":1},"version":"1"}',
        "written for version 2 of the plugin interface, and this Tether has 1",
    ),
    "a field too many": (b'{"declaration":{"name":"bad","door":1},"version":"1","x":1}', "x"),
    "too long": (b" " * 5_000_000, "cannot be read"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_one_that_is_installed_wrongly_is_left_out(
    make_house: MakeHouse, tmp_path: Path, how: str
) -> None:
    content, words = BROKEN[how]
    install(tmp_path / "plugins", declared())
    (tmp_path / "plugins" / "bad" / "plugin.json").write_bytes(content)
    async with make_house(GOOD) as house:
        with pytest.raises(e.PluginNotStarted, match=words):
            await house.do("nothing")
        info = await house.info()
        assert info.state == "failed"
        assert words in (info.problem or "")
        assert await house.say() == "hello"


def test_a_pipe_in_the_place_of_a_plugin_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    os.mkfifo(tmp_path / "bad" / "plugin.json")
    (tmp_path / "worse" / "plugin.json").mkdir(parents=True)
    found = installed_plugins(tmp_path)
    assert {name: type(problem) for name, problem in found.items()} == {
        "bad": e.PluginInvalid,
        "worse": e.PluginInvalid,
    }
