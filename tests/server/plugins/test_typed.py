"""A history's events of plugins, as a process reads them that has the package, or has it not."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tether_runtime_client.protocol.events import ActionSubmitted, Event, OpaqueEvent
from tether_runtime_client.protocol.frames import (
    EventFrame,
    ObservationFrame,
    decode_from_client,
    encode_numbered,
)
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.observations import OpaqueObservation
from tether_runtime_client.protocol.plugin_actions import OpaqueAction
from tether_server.event_stream import EventStream
from tether_server.history import History
from tether_server.plugins.typed import needs_opening, typed

from . import tides

EPOCH = "ab" * 8
LEVEL = {"harbour": "Dover", "levels": [{"height": 1.5, "mark": "_w=="}]}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """With an action of the plugin, an event and an observation."""
    made = History(tmp_path / "box" / "history.sqlite3")
    made.claim()
    action = OpaqueAction(kind="tides.look", fields={"days": 3})
    made.store_action("one", to_json(action))
    store(made, 1, OpaqueEvent(action_id="one", kind="tides.wave", fields={"height": 2.0}))
    store(made, 2, OpaqueObservation(action_id="one", kind="tides.level", fields=LEVEL))
    made.commit()
    yield made
    made.close()


def store(history: History, number: int, event: Event) -> None:
    raw = encode_numbered(EPOCH, number, event)
    frame = decode_from_client(raw)
    assert isinstance(frame, EventFrame | ObservationFrame)
    history.store_frame(frame, raw)


def read(history: History) -> list[Any]:
    events = list(EventStream(history).since())
    return [event.action if isinstance(event, ActionSubmitted) else event for event in events]


def names(history: History) -> list[str]:
    return [type(one).__name__ for one in read(history)]


OPAQUE = ["OpaqueAction", "OpaqueEvent", "OpaqueObservation"]
TYPED = ["LookAction", "Wave", "LookObservation"]


def test_without_the_package_they_are_opaque_and_with_it_typed(
    site: Path, history: History
) -> None:
    assert names(history) == OPAQUE
    tides.install(site)
    tides.forget()
    assert names(history) == TYPED
    own = import_module("some_tides.messages")
    action, wave, answer = read(history)
    assert action == own.LookAction(days=3)
    assert (wave.seq, wave.action_id, wave.height) == (2, "one", 2.0)
    assert answer.levels == (own.Level(height=1.5, mark=b"\xff"),)


def test_what_is_stored_and_sent_again_is_what_came(installed: Path, history: History) -> None:
    assert names(history) == TYPED
    assert isinstance(history.action("one"), OpaqueAction)
    assert isinstance(history.final("one"), OpaqueObservation)
    history.store_action("two", to_json(OpaqueAction(kind="tides.look")))
    assert isinstance(history.unfinished()["two"], OpaqueAction)


def test_a_typed_event_can_be_written_as_json(installed: Path, history: History) -> None:
    [submitted, *_] = EventStream(history).since()
    assert '"days":3' in submitted.model_dump_json()


async def test_a_subscriber_gets_the_same(installed: Path, history: History) -> None:
    stream = EventStream(history)
    stream.end()
    events = [event async for event in stream.subscribe(0)]
    assert [type(event).__name__ for event in events][1:] == TYPED[1:]


async def test_a_slow_import_does_not_hold_up_the_loop(site: Path, history: History) -> None:
    tides.install(site, **{"messages.py": "import time\ntime.sleep(0.3)\n" + tides.MESSAGES})
    stream = EventStream(history)
    stream.end()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    events = [event async for event in stream.subscribe(0)]
    counting.cancel()
    assert type(events[1]).__name__ == "Wave"
    assert turns >= 5


def test_nothing_is_imported_for_other_events(installed: Path, history: History) -> None:
    event = OpaqueEvent(kind="moon.wave")
    assert typed(event) is event
    assert not needs_opening(event), "that there is no such plugin is known now"
    assert "some_tides" not in sys.modules
    assert names(history) == TYPED
    assert "some_tides.messages" in sys.modules
    assert "some_tides.plugin" not in sys.modules


@pytest.mark.parametrize(
    "broken",
    [
        "raise SystemExit(3)",
        "raise RuntimeError('no such library')",
        "this is no python",
        "LookAction = LookObservation = RawAction = Wave = 7",
        tides.MESSAGES.replace('"tides.', '"moon.'),
    ],
)
def test_a_package_that_does_not_work_leaves_them_opaque(
    site: Path, history: History, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    tides.install(site, **{"messages.py": broken})
    for _ in range(2):
        assert names(history) == OPAQUE
    told = [record.message for record in caplog.records if "'tides'" in record.message]
    assert told
    assert len(told) == len(set(told)), "each is told once"


def test_a_validator_that_fails_in_its_own_way_leaves_it_opaque(
    site: Path, history: History
) -> None:
    broken = tides.MESSAGES + (
        "\nfrom pydantic import model_validator\n"
        "class Wave(PluginEvent):\n"
        '    event: Literal["tides.wave"] = "tides.wave"\n'
        "    height: float\n"
        '    @model_validator(mode="after")\n'
        "    def _look(self):\n"
        "        raise KeyError(self.height)\n"
    )
    tides.install(site, **{"messages.py": broken})
    assert names(history) == ["LookAction", "OpaqueEvent", "LookObservation"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(
    st.sampled_from(["harbour", "levels", "seq", "time", "action_id", "observation", "x"]), JSON
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["tides.level", "tides.look", "moon.x"]), fields=FIELDS)
def test_whatever_comes_is_an_event_that_is_where_it_was(
    installed: Path, kind: str, fields: dict[str, Any]
) -> None:
    came = OpaqueObservation(seq=5, time=2.5, action_id="a", kind=kind, fields=fields)
    event = typed(came)
    assert (event.seq, event.time, event.action_id) == (5, 2.5, "a")
    assert event is came or event.observation == "tides.level"  # type: ignore[attr-defined]


def test_a_flood_of_kinds_is_told_with_a_bound(
    installed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(3000):
            came = OpaqueObservation(kind="tides.level", fields={"no": number})
            assert typed(came) is came
            other = OpaqueObservation(kind=f"plugin_{number}.x")
            assert typed(other) is other
    assert len(caplog.records) == 1
