"""Actions of plugins whose processes go on, whatever comes of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tether_runtime_client.bounded_log import LIMIT
from tether_runtime_client.plugins import link
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.plugin_events import PluginFailed

from .house import GOOD, House, declared, house

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("actions of plugins"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="house")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Both plugins, which all tests here share."""
    async with house(tmp_path_factory.mktemp("house"), declared(), GOOD) as made:
        yield made


@pytest.mark.parametrize("how", ["raises", "leaves"])
async def test_a_defect_of_a_handler_ends_its_action_alone(house: House, how: str) -> None:
    other = asyncio.create_task(house.do("hangs"))
    with pytest.raises(e.PluginError, match=r"ValueError: it does not|sys\.exit\(3\)") as found:
        await house.do(how)
    assert not other.done()
    assert not house.told(PluginFailed)
    assert (await house.info()).state == "running"
    assert "Traceback" in Path(found.value.data["output_path"]).read_text()
    other.cancel()
    await asyncio.wait([other])


async def test_what_no_message_holds_is_refused_where_it_is_made(house: House) -> None:
    for how, what in (("returns_too_much", "the observation"), ("tells_too_much", "the event")):
        with pytest.raises(e.FrameTooLarge, match=f"{what} takes 9,000,") as found:
            await house.do(how)
        assert "to a file" in found.value.hint
    assert len(await house.do("returns_much")) == 8_000_000 < MAX_FRAME
    with pytest.raises(e.FrameTooLarge, match="the action cannot be given to the plugin"):
        await house.do("nothing", "x" * 10_000_000)
    assert await house.do("nothing", "x" * 8_000_000) == "x" * 8_000_000


async def test_events_come_before_the_end_from_any_thread(house: House) -> None:
    before = len(house.opaque("bad.told"))
    await house.do("tells_in_threads")
    events = house.opaque("bad.told")[before:]
    assert sorted(int(str(event.fields["number"])) for event in events) == list(range(100))
    await house.do("tells_later")
    assert "has ended: it can tell no more events" in await house.do("tells_later")
    assert len(house.opaque("bad.told")) == before + 100


async def test_a_cancelled_action_may_say_what_it_has(house: House) -> None:
    await house.do("nothing")
    asked = asyncio.create_task(house.do("does_not_heed"))
    await asyncio.sleep(0.1)
    asked.cancel()
    assert await asked == "what there was"


async def test_what_it_prints_is_bounded_and_others_are_not_held_up(house: House) -> None:
    await asyncio.gather(house.do("nothing"), house.say())
    flood = asyncio.create_task(house.do("floods", str(20 * 1024)))
    waits = []
    while not flood.done():
        began = time.monotonic()
        assert await house.say() == "hello"
        waits.append(time.monotonic() - began)
    await flood
    assert max(waits) < 1
    log = Path((await house.info()).output_path or "")
    size = sum(file.stat().st_size for file in log.parent.glob("plugin-bad.log*"))
    assert LIMIT <= size <= 2 * LIMIT


async def test_many_large_actions_wait_for_their_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they are more than may wait for one who does not read."""
    monkeypatch.setattr(link, "MOST", 12 * 1024 * 1024)
    texts = await asyncio.gather(*(house.do("nothing", "x" * 3_000_000) for _ in range(12)))
    assert {len(text) for text in texts} == {3_000_000}


async def test_its_own_errors_go_on_as_they_are(house: House) -> None:
    with pytest.raises(e.ActionError) as found:
        await house.say("refuse that")
    assert type(found.value) is e.ActionError
    assert (found.value.message, found.value.hint) == ("that", "ask for something else")
    assert found.value.data == {"why": "that"}


async def test_fields_that_are_wrong_are_told(house: House) -> None:
    with pytest.raises(e.InvalidAction, match=r"good\.say"):
        await house.run("good.say", text=5)


async def test_what_is_not_there_is_told_with_what_there_is(house: House) -> None:
    with pytest.raises(e.PluginMissing, match="has no plugin 'weather'; it has bad, good"):
        await house.run("weather.lookup")
    with pytest.raises(e.PluginMissing, match=r"no action 'good.sing'; it has good\.say"):
        await house.run("good.sing")
    with pytest.raises(e.PluginMissing):
        await house.stop("weather")


async def test_it_is_told_of_sessions(house: House) -> None:
    assert await house.say("folder other") == "/where/other/is"
    assert await house.say("variable NAME") == "välue\ufffd"
    assert len(await house.say("variable BIG")) == 10_000
    with pytest.raises(e.PluginError, match="session 'gone' has no folder"):
        await house.say("folder gone")


async def test_it_has_a_folder_of_its_own(house: House) -> None:
    state = house.state / "plugins" / "good"
    assert await house.say("places") == f"None {state} {os.getcwd()}"
    assert state.stat().st_mode & 0o777 == 0o700
