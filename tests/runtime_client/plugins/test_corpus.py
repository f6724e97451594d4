"""Whatever a plugin does, it is told, it alone is left out, and the others go on."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tether_runtime_client.plugins import hosted, life, link, running
from tether_runtime_client.proctree import read_process
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.plugin_events import PluginFailed, PluginStarted, PluginStopped
from tether_runtime_client.protocol.plugin_observations import OpaqueObservation

from .conftest import MakeHouse
from .house import GOOD, SLOW_S, declared

CRASHES = {
    "exits": (7, "with exit code 7"),
    "killed": (128 + signal.SIGKILL, "ended by signal 9"),
}
SLOW = pytest.mark.slow
STARTS = {
    "corpus.import_raises:Bad": "ValueError: not today",
    "corpus.import_exits:Bad": "with exit code 7",
    "corpus.import_killed:Bad": "ended by signal 9",
    "corpus.import_hangs:Bad": "not ready within 1 s",
    "corpus.nowhere:Bad": "No module named 'corpus.nowhere'",
    "corpus.plugin:Worse": "names no class derived from Plugin",
    "corpus.misfits:NoPlugin": "names no class derived from Plugin",
    "corpus.misfits:Handless": "nothing handles bad.do",
    "corpus.misfits:Twice": "Twice handles DoAction twice: in first and in second",
    "corpus.misfits:Secret": "Secret handles what is not declared: OtherAction",
}
RAW = {
    "raw_text": "sent what is no frame",
    "raw_unknown": "sent what is no frame",
    "raw_surprise": "sent what is no frame",
    "raw_endless": "a frame of 4,294,967,295 bytes",
    "raw_random": "sent what is no frame|a frame of",
    "raw_deep": "sent what is no frame",
    "raw_ends_unknown": "the end of action number 99, though it was not given that",
    "raw_ends_anothers": "an observation good.said, which is not its own",
    "raw_tells_anothers": "an event good.saying, which it has not declared",
    "raw_tells_unknown": "an event of action number 99",
    "raw_starts_twice": "how its start went, a second time",
    "raw_closed": "closed its connection to the client, and went on",
}

FEW = {"raw_random", "raw_endless", "raw_ends_unknown", "raw_tells_anothers", "raw_closed"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes its time for good reasons, and not for these."""
    monkeypatch.setattr(running, "CANCEL_S", 0.2)


async def ended(pid: int) -> None:
    """Return once nothing has that pid, or only what remains of it."""
    async with asyncio.timeout(SLOW_S):
        while (process := read_process(pid)) is not None and process.alive:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "entry",
    [pytest.param(name, marks=[SLOW] * (at % 2)) for at, name in enumerate(STARTS)],
)
async def test_one_that_cannot_start_is_left_out(make_house: MakeHouse, entry: str) -> None:
    broken = declared(entry, start_timeout_s=1 if "hangs" in entry else 30)
    async with make_house(broken) as house:
        with pytest.raises(e.PluginNotStarted, match="the plugin 'bad' did not start") as found:
            await house.do("nothing")
        failed = house.failure()
        assert STARTS[entry] in failed.reason
        assert failed.reason in found.value.message
        assert failed.output_path is not None
        assert Path(failed.output_path).exists() == bool(failed.output)
        assert found.value.data["output_path"] == failed.output_path
        module = entry.partition(":")[0].removeprefix("corpus.import_")
        codes = {"exits": 7, "killed": 128 + signal.SIGKILL, "hangs": None}
        assert failed.exit_code == codes.get(module, 1)
        assert (await house.info()).state == "failed"


async def test_what_is_printed_before_a_failure_is_told(make_house: MakeHouse) -> None:
    async with make_house(declared("corpus.import_exits:Bad")) as house:
        with pytest.raises(e.PluginNotStarted) as found:
            await house.do("nothing")
        failed = house.failure()
        assert (failed.exit_code, failed.output) == (7, "about to leave\n")
        assert found.value.data["output"] == "about to leave\n"
        assert Path(failed.output_path or "").read_text() == "about to leave\n"


@pytest.mark.parametrize(
    "how", ["raises", "exits", *(pytest.param(how, marks=SLOW) for how in ("leaves", "killed"))]
)
async def test_its_own_start_may_fail_in_any_way(make_house: MakeHouse, how: str) -> None:
    async with make_house(declared(), config={"start": how}) as house:
        with pytest.raises(e.PluginNotStarted):
            await house.do("nothing")
        assert house.failure().plugin == "bad"


@pytest.mark.parametrize("how", ["stops", pytest.param("hangs", marks=SLOW)])
async def test_a_start_has_its_time(make_house: MakeHouse, how: str) -> None:
    slow = declared(start_timeout_s=1)
    async with make_house(slow, GOOD, config={"start": how}) as house:
        asked = asyncio.create_task(house.do("nothing"))
        assert await house.say() == "hello"
        assert not asked.done(), "the others do not wait for it"
        assert (await house.info()).state == "starting"
        with pytest.raises(e.PluginNotStarted, match="it was not ready within 1 s"):
            await asked
        assert house.failure().exit_code is None, "we killed it"


async def test_a_slow_import_is_waited_for_by_whoever_asks(make_house: MakeHouse) -> None:
    async with make_house(declared("corpus.import_takes_long:Bad")) as house:
        texts = await asyncio.gather(*(house.do("nothing", str(n)) for n in range(5)))
        assert texts == ["0", "1", "2", "3", "4"]
        [started] = house.told(PluginStarted)
        assert started.duration_s >= 1
        assert started.version == "1.2.3"


@pytest.mark.parametrize("wrong", [{"surprise": 1}, pytest.param({"start": 5}, marks=SLOW)])
async def test_a_wrong_configuration_is_told_by_its_own_model(
    make_house: MakeHouse, wrong: dict[str, object]
) -> None:
    async with make_house(declared(), config=wrong) as house:
        with pytest.raises(e.PluginNotStarted, match="its configuration is wrong: s") as found:
            await house.do("nothing")
        assert next(iter(wrong)) in found.value.message


async def test_starts_that_fail_are_not_tried_again_at_once(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "BACK_OFF_S", (0.0, 30.0))
    async with make_house(declared("corpus.import_raises:Bad")) as house:
        for _ in range(2):
            with pytest.raises(e.PluginNotStarted, match="did not start"):
                await house.do("nothing")
        for _ in range(20):
            with pytest.raises(e.PluginNotStarted, match="failed to start 2 times") as found:
                await house.do("nothing")
        assert "not tried again for" in found.value.hint
        assert len(house.told(PluginFailed)) == 2


@pytest.mark.parametrize("how", CRASHES)
async def test_its_end_ends_its_actions_and_the_next_starts_it_anew(
    make_house: MakeHouse, how: str
) -> None:
    exit_code, words = CRASHES[how]
    async with make_house(declared(), GOOD) as house:
        others = [asyncio.create_task(house.do("hangs")) for _ in range(3)]
        good = asyncio.create_task(house.say(pause_s=1))
        assert await house.do("nothing", "first") == "first"
        with pytest.raises(e.PluginLost, match=words) as found:
            await house.do(how)
        lost = await asyncio.gather(*others, return_exceptions=True)
        assert [type(error) for error in lost] == [e.PluginLost] * 3
        assert (found.value.data["exit_code"], found.value.data["signal"]) in ((7, None), (None, 9))
        assert found.value.data["output_path"] == house.failure().output_path
        assert house.failure().exit_code == exit_code
        assert await house.do("nothing", "again") == "again"
        assert await good == "hello"
        pids = [started.pid for started in house.told(PluginStarted) if started.plugin == "bad"]
        assert len(set(pids)) == 2
        await ended(pids[0])


@pytest.mark.parametrize("how", ["blocks", "stops", pytest.param("raw_half", marks=SLOW)])
async def test_one_that_hangs_is_found_out(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with make_house(declared(), GOOD) as house:
        assert await house.do("nothing", "well") == "well"
        monkeypatch.setattr(life, "PING_S", 0.2)
        with pytest.raises(e.PluginLost) as found:
            await house.do(how)
        expected = "SIGSTOP" if how == "stops" else "event loop has not turned"
        assert expected in found.value.message
        assert expected in house.failure().reason
        assert await house.say() == "hello"
        assert await house.do("nothing", "again") == "again"


async def test_one_that_works_for_long_is_let_work(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "PING_S", 0.1)
    async with make_house(GOOD) as house:
        assert await house.say("long", pause_s=1) == "long"
        assert not house.told(PluginFailed)


@pytest.mark.parametrize("some", [FEW, pytest.param(set(RAW) - FEW, marks=SLOW)])
async def test_what_it_may_not_say_ends_it(make_house: MakeHouse, some: set[str]) -> None:
    async with make_house(declared(), GOOD) as house:
        for how in sorted(some):
            with pytest.raises(e.PluginLost, match=RAW[how]):
                await house.do(how)
            failed = house.told(PluginFailed)[-1]
            assert re.search(RAW[how], failed.reason)
            assert len(failed.reason) < 1000
            assert await house.say() == "hello"


async def test_a_second_end_of_an_action_ends_it(make_house: MakeHouse) -> None:
    async with make_house(declared(), GOOD) as house:
        assert isinstance(await house.run("bad.do", what="raw_ends_twice"), OpaqueObservation)
        await house.until(lambda: house.told(PluginFailed))
        assert "the end of action number 1, a second time" in house.failure().reason


async def test_who_asks_and_does_not_read_is_ended(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "MOST", 4 * 1024 * 1024)
    async with make_house(declared()) as house:
        with pytest.raises(e.PluginLost, match="does not read what it asks for"):
            await house.do("raw_asks")


async def test_frames_may_come_in_pieces(make_house: MakeHouse) -> None:
    async with make_house(declared()) as house:
        assert await house.do("raw_half_then_slow") == "slow"
        [event] = house.opaque("bad.told")
        assert event.fields == {"number": 5}


async def test_what_it_returns_and_tells_is_what_is_declared(make_house: MakeHouse) -> None:
    async with make_house(declared()) as house:
        with pytest.raises(e.PluginError) as found:
            await house.do("raw_error")
        assert found.value.data["code"] == "unauthorized", "which is not its own to raise"
        for how in ("returns_anothers", "returns_nothing"):
            with pytest.raises(e.PluginError, match="which is no DoneObservation"):
                await house.do(how)
        for how, what in (("tells_anothers", "Saying"), ("tells_no_event", "dict")):
            words = f"a {what} is no event that the declaration names: it has Told"
            with pytest.raises(e.PluginError, match=words):
                await house.do(how)
        assert not house.told(PluginFailed)


async def test_a_cancelled_action_is_not_waited_for_for_ever(make_house: MakeHouse) -> None:
    async with make_house(declared()) as house:
        await house.do("nothing")
        for how in ("hangs", "heeds_never", "blocks"):
            asked = asyncio.create_task(house.do(how))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert time.monotonic() - began < 5
        assert not house.told(PluginFailed)


@pytest.mark.parametrize("how", ["forks", "forks_and_leaves"])
async def test_copies_of_its_process_end_with_it(
    make_house: MakeHouse, pids: Path, how: str
) -> None:
    """One has the socket and the pipe still open, the other is in a session of its own."""
    async with make_house(declared(), GOOD) as house:
        if how == "forks":
            await house.do(how)
            async with asyncio.timeout(SLOW_S):
                while len(list(pids.iterdir())) < 2:
                    await asyncio.sleep(0.01)
            assert await house.do("nothing", "still") == "still"
            await house.stop()
            assert house.told(PluginStopped)
        else:
            with pytest.raises(e.PluginLost, match="with exit code 7"):
                await house.do(how)
        copies = [int(path.name) for path in pids.iterdir()]
        assert len(copies) == 2
        for pid in copies:
            await ended(pid)
        assert await house.say() == "hello"
        assert await house.do("nothing", "again") == "again"


@pytest.mark.parametrize(
    "how",
    [
        *("", "does_not_stop"),
        *(pytest.param(how, marks=SLOW) for how in ("raises", "hangs", "blocks", "exits")),
    ],
)
async def test_it_stops_whatever_its_stop_does(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("tether_runtime_client.plugins.plugins.STOP_S", 0.3)
    monkeypatch.setattr(life, "TERM_S", 0.3)
    async with make_house(declared(), config={"stop": how}) as house:
        waiting = asyncio.create_task(house.do("hangs"))
        await house.do("nothing")
        pid = (await house.info()).pid
        assert pid is not None
        await house.stop()
        assert read_process(pid) is None
        with pytest.raises(e.PluginLost, match="the plugin 'bad' was stopped"):
            await waiting
        assert [event.plugin for event in house.told(PluginStopped)] == ["bad"]
        assert not house.told(PluginFailed)
        assert (await house.info()).state == "idle"
        await house.stop()
        assert await house.do("nothing", "again") == "again"


async def test_one_is_stopped_while_it_starts(make_house: MakeHouse) -> None:
    async with make_house(declared("corpus.import_hangs:Bad")) as house:
        asked = asyncio.create_task(house.do("nothing"))
        while (await house.info()).state != "starting":
            await asyncio.sleep(0.01)
        await house.stop()
        with pytest.raises(e.PluginNotStarted, match="it was stopped while it started"):
            await asked


async def test_how_it_is_is_its_own_word(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HEALTH_S", 0.3)
    async with make_house(declared(), GOOD, config={"health": "raises"}) as house:
        assert (await house.info(health=True)).state == "idle", "none is started for it"
        await asyncio.gather(house.do("nothing"), house.say())
        assert (await house.info(health=True)).problem == "ValueError: it does not work"
        assert (await house.info("good", health=True)).problem is None
        blocked = asyncio.create_task(house.do("blocks"))
        await asyncio.sleep(0.1)
        assert "did not answer within" in str((await house.info(health=True)).problem)
        blocked.cancel()
        await asyncio.wait([blocked])


async def test_files_of_the_client_that_it_replaces_harm_nobody(make_house: MakeHouse) -> None:
    async with make_house(declared(), GOOD) as house:
        await house.do("floods", "10")
        await house.do("replaces", str(house.state))
        with pytest.raises(e.PluginLost):
            await house.do("exits")
        with pytest.raises(e.PluginNotStarted, match="cannot be prepared"):
            await house.do("nothing")
        for path in house.state.iterdir():
            os.unlink(path)
        assert await house.do("nothing", "again") == "again"
        assert await house.say() == "hello"


async def test_what_it_starts_finds_what_sessions_find(make_house: MakeHouse) -> None:
    """No descriptor of ours, an empty input, and the image's own variables."""
    given = {**os.environ, "CORPUS_VARIABLE": "välue", "LD_CORPUS": "the image's"}
    async with make_house(declared(), environment=given) as house:
        found = await house.do("describes")
        assert "[välue the image's ]" in found
        links = dict(re.findall(r" (\d+) -> (.*)", found))
        assert set(links) == {"0", "1", "2", "3"}, "3 is the listing's own"
        assert links["0"] == "/dev/null"
        assert not any("socket" in link for link in links.values())


async def test_what_it_tells_of_an_action_that_was_given_up_is_dropped(
    make_house: MakeHouse,
) -> None:
    async with make_house(declared()) as house:
        await house.do("nothing")
        asked = asyncio.create_task(house.do("tells_when_cancelled"))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        told = len(house.opaque("bad.told"))
        await house.do("tells", "5")
        assert len(house.opaque("bad.told")) == told + 5


async def test_none_is_started_once_the_client_stops(make_house: MakeHouse) -> None:
    async with make_house(GOOD) as house:
        asked = asyncio.create_task(house.say())
        await asyncio.sleep(0)
        await house.plugins.close(0.5)
        with pytest.raises(e.PluginNotStarted):
            await asked
        with pytest.raises(e.PluginNotStarted, match="is stopping"):
            await house.say()


async def test_its_stop_does_not_wait_for_actions_that_heed_nothing(
    make_house: MakeHouse, pids: Path
) -> None:
    async with make_house(declared(), config={"stop": "leaves_a_note"}) as house:
        waiting = asyncio.create_task(house.do("heeds_never"))
        await house.do("nothing")
        await house.stop()
        assert (pids / "note").exists()
        with pytest.raises(e.PluginLost, match="was stopped"):
            await waiting


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_everything_at_once_comes_to_its_end(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Crashes, stops, cancellations and actions of the same plugin, in any order."""
    monkeypatch.setattr(hosted, "BACK_OFF_S", (0.0,))
    chance = random.Random(seed)
    whats = ["nothing", "exits", "killed", "raises", "raw_random", "tells", "floods"]
    async with make_house(declared(), GOOD) as house:

        async def one() -> None:
            for _ in range(6):
                match chance.choice([*whats, "stop", "cancel", "list"]):
                    case "stop":
                        await house.stop()
                    case "list":
                        await house.info(health=True)
                    case "cancel":
                        task = asyncio.create_task(house.do("hangs"))
                        await asyncio.sleep(chance.random() * 0.3)
                        task.cancel()
                        await asyncio.wait([task])
                    case what:
                        with suppress(e.TetherError):
                            await house.do(what, "200")

        async with asyncio.timeout(100):
            await asyncio.gather(*(one() for _ in range(8)))
        assert await house.say() == "hello"
        await house.stop()
        assert await house.do("nothing", "again") == "again"
