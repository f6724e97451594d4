"""What may come over a plugin's socket: whole frames, in any pieces, and anything else."""

from __future__ import annotations

import asyncio
import random
import socket
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.dispatcher import Context
from tether_runtime_client.plugin import wire
from tether_runtime_client.plugins import link as links
from tether_runtime_client.plugins.calls import Calls
from tether_runtime_client.plugins.link import Link
from tether_runtime_client.protocol.errors import PluginLost
from tether_runtime_client.protocol.message import Message

from ..mutation import mutated, mutated_json
from .house import declared

SEED = 20261122
ROUNDS = 400

EVENT = wire.EventFrame(number=1, kind="bad.told", fields={"number": 1, "text": "é"})
SAID: list[Message] = [
    wire.StartedFrame(),
    EVENT,
    wire.AskFrame(number=1, what="folder", session="default"),
    wire.HealthyFrame(number=1, problem="unwell"),
    wire.PongFrame(),
    wire.EndFrame(number=1, end=wire.ObservationEnd(kind="bad.done", fields={"text": "x"})),
    wire.EndFrame(number=2, end=wire.ErrorEnd(code="plugin_error", message="no", data={"a": [1]})),
    wire.EndFrame(number=3, end=wire.CancelledEnd()),
]


@given(
    bodies=st.lists(st.binary(max_size=300), max_size=8),
    cuts=st.lists(st.integers(0, 2500), max_size=8),
)
def test_frames_come_whole_in_whatever_pieces(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(wire.HEAD.pack(len(body)) + body for body in bodies)
    frames, found = wire.Frames(), []
    for first, last in pairwise(
        sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    ):
        frames.feed(stream[first:last])
        while (body := frames.next()) is not None:
            found.append(body)
    assert found == bodies


def test_a_frame_that_is_too_long_is_refused_at_its_head() -> None:
    frames = wire.Frames()
    frames.feed(wire.HEAD.pack(wire.MAX_WIRE_FRAME + 1))
    with pytest.raises(ValueError, match="is the most"):
        frames.next()
    with pytest.raises(ValueError, match="is the most"):
        wire.pack(wire.FailedFrame.model_construct(reason="x" * wire.MAX_WIRE_FRAME))


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0=", codec="utf-8"), min_size=1),
        st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    )
)
def test_variables_come_back_as_they_were(environment: dict[str, str]) -> None:
    assert wire.unpacked(wire.packed(environment)) == environment


class Plugin:
    """The client's end of a socket whose other end says anything."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.told: list[Any] = []
        self.broken: list[str] = []
        self._calls = Calls(declared())
        self.calls = [self._calls.begin(Context(f"a{n}", self.told.append)) for n in range(3)]
        self.link = Link(ours, self._on_frame, self.broken.append)

    def _on_frame(self, body: bytes) -> None:
        match wire.from_plugin_adapter.validate_json(body):
            case wire.EventFrame() as event:
                self._calls.told(event)
            case wire.EndFrame() as end:
                self._calls.ended(end)

    async def hear(self, data: bytes) -> None:
        """All of it, to its end."""
        loop = asyncio.get_running_loop()
        self.theirs.setblocking(False)
        await loop.sock_sendall(self.theirs, data)
        self.theirs.close()
        async with asyncio.timeout(20):
            while not self.broken:
                await asyncio.sleep(0)
        self._calls.lose(PluginLost("the test is over"))
        self.link.close()


async def test_whatever_it_says_is_taken_or_ends_it() -> None:
    chance = random.Random(SEED)
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    ends = set()
    for _ in range(ROUNDS):
        bodies = [wire.to_json(frame) for frame in SAID]
        at = chance.randrange(len(bodies))
        bodies[at] = mutated_json(bodies[at], chance)
        stream = b"".join(wire.HEAD.pack(len(body)) + body for body in bodies)
        plugin = Plugin()
        await plugin.hear(mutated(stream, chance) if chance.random() < 0.3 else stream)
        [end] = plugin.broken
        assert not end or end.startswith("it sent what is no frame: ")
        assert all(call.end.done() for call in plugin.calls)
        ends.add(end[:60])
    assert not problems
    assert "" in ends, "some of it was harmless"
    assert len(ends) > 5


async def test_what_waits_to_be_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST", 1024 * 1024)
    plugin = Plugin()
    while not plugin.broken:
        plugin.link.send(wire.AnswerFrame(number=1, folder="x" * 10_000))
    assert plugin.broken == ["it does not read what it asks for"]
    plugin.link.send(wire.PingFrame())
    await asyncio.wait_for(plugin.link.room(), 5)
    plugin.link.close()
    plugin.theirs.close()
