"""The event connection is cut at every byte of a conversation: nothing is lost or runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tether_server import (
    ActionAccepted,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdRunAction,
    Event,
    EventStreamRuntime,
    HistoryGap,
    backoff,
)

from .conftest import MakeRuntime
from .cutting import Cutter, Way, cuttable, cutter_of

__all__ = ["cuttable"]
pytestmark = pytest.mark.usefixtures("cuttable")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was of no use is made anew at once, too."""
    monkeypatch.setattr(backoff, "FIRST_RETRY_S", 0.0005)


async def converse(runtime: EventStreamRuntime, log: str, name: str) -> None:
    """What is asked leaves one line in a file, however often the connection goes."""
    action = CmdRunAction(command=f"echo {name} >> {log}; echo {name}; sleep 0.001; echo end")
    async with asyncio.timeout(30):
        seen = await runtime.run(action, id=name)
    assert (seen.content, seen.exit_code) == (f"{name}\nend\n", 0)


async def length_of(runtime: EventStreamRuntime, cutter: Cutter, way: Way, log: str) -> int:
    """The bytes of a conversation, from the first of its connection to the last answer."""
    before = cutter.crossed[way]
    cutter.cut()
    await converse(runtime, log, f"{way}0")
    return cutter.crossed[way] - before


def assert_whole(events: list[Event], names: list[str]) -> None:
    """Each event once, each action accepted and ended once, its output once and in order."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if isinstance(event, HistoryGap)]
    accepted = Counter(e.action_id for e in events if isinstance(e, ActionAccepted))
    ended = Counter(e.action_id for e in events if isinstance(e, CmdOutputObservation))
    assert set(accepted.values()) == set(ended.values()) == {1}
    assert set(ended) >= set(names)
    output: dict[str | None, str] = {}
    for event in events:
        if isinstance(event, CmdOutputDelta):
            assert event.offset == len(output.get(event.action_id, "")), event
            output[event.action_id] = output.get(event.action_id, "") + event.content
    for name in names:
        assert output[name] == f"{name}\nend\n"


async def sweep(runtime: EventStreamRuntime, way: Way, step: int) -> None:
    log = (await runtime.exec("mktemp")).stdout.decode().strip()
    cutter = cutter_of(runtime)
    struck = cutter.cuts
    last = await length_of(runtime, cutter, way, log)
    names = [f"{way}0"]
    for count in range(1, last, step):
        cutter.cut()
        cutter.cut_after(way, count)
        names.append(f"{way}{count}")
        await converse(runtime, log, names[-1])
    ran = (await runtime.exec(["cat", log])).stdout.decode().split()
    assert ran == names, "each ran once"
    assert_whole(list(runtime.events.since(0)), names)
    assert cutter.cuts - struck > 1.8 * len(names)
    await runtime.exec(["rm", log])


async def test_at_many_places(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        await sweep(runtime, "out", 37)
        await sweep(runtime, "in", 37)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["out", "in"])
async def test_at_every_byte(make_runtime: MakeRuntime, way: Way) -> None:
    async with make_runtime() as runtime:
        await sweep(runtime, way, 1)
