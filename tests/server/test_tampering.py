"""An agent that replaces the socket or edits the journal: what it does is found out and told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.channel import Channel, server_channel
from tether_runtime_client.protocol.frames import ChallengeFrame, encode
from tether_runtime_client.protocol.limits import PROTOCOL_VERSION
from tether_server import (
    ActionAccepted,
    ActionLost,
    ActionSubmitted,
    ClientStarted,
    CmdRunAction,
    ConnectionTrouble,
    Event,
    EventStreamRuntime,
    HistoryGap,
    Observation,
)
from tether_server.backends.entry import RUN
from tether_server.record import sandbox_folder

from .cutting import Cutter, cuttable, cutter_of

__all__ = ["cuttable"]


SLOW, ENGINE = pytest.mark.slow, pytest.mark.engine
Start = Callable[..., EventStreamRuntime]


def in_places(cases: Iterable[str], quick: Collection[str], in_docker: str) -> list[object]:
    """Here the `quick` cases and in a container one in every run, and all of them in slow ones."""
    here = [pytest.param("local", c, marks=() if c in quick else SLOW) for c in cases]
    there = [
        pytest.param("docker", c, marks=ENGINE if c == in_docker else (ENGINE, SLOW)) for c in cases
    ]
    return [*here, *there]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    """Makes a runtime in a place; enter what it returns."""

    def make(place: str, **options: Any) -> EventStreamRuntime:
        image = request.getfixturevalue("debian") if place == "docker" else None
        return EventStreamRuntime(image, backend=place, **options)

    return make


def assert_one_end_each(events: list[Event]) -> None:
    """Whatever was done to it, the history is one: no number twice, and one end for each action."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    asked = [e.action_id for e in events if isinstance(e, ActionSubmitted)]
    ended = Counter(e.action_id for e in events if isinstance(e, Observation))
    assert set(ended) == set(asked)
    assert set(ended.values()) <= {1}
    accepted = Counter(e.action_id for e in events if isinstance(e, ActionAccepted))
    assert set(accepted.values()) <= {1}


# --- the socket


class Impostor:
    """Answers as a client that does not know the secret. A channel `Receiver`."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._channel: Channel | None = None

    def on_open(self, channel: Channel, path: str) -> None:
        self._channel = channel

    def on_text(self, text: bytes) -> None:
        assert self._channel is not None
        self._channel.send_text(self._says)

    def on_binary(self, data: bytes) -> None:
        pass

    def on_pong(self) -> None:
        pass

    def on_writable(self) -> None:
        pass

    def on_close(self, reason: str) -> None:
        pass


GUESS = encode(ChallengeFrame(version=PROTOCOL_VERSION, nonce=auth.new_nonce(), proof="0" * 64))


@asynccontextmanager
async def planted(path: Path, what: str) -> AsyncIterator[None]:
    """Something else in the place of a socket, for a while."""
    real = path.with_name("real.sock")
    path.rename(real)
    listener: asyncio.Server | None = None
    if what == "link":
        path.symlink_to(real)
    elif what == "file":
        path.write_text("none")
    else:
        own = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_PATH)  # the path itself may be too long
        own.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        loop = asyncio.get_running_loop()
        says = GUESS if what == "impostor" else b"{}"
        listener = await loop.create_unix_server(
            lambda: server_channel(lambda _: Impostor(says)), sock=own
        )
    try:
        yield
    finally:
        if listener is not None:
            listener.close()
        path.unlink(missing_ok=True)
        real.rename(path)


TOLD = {
    "link": "is not a socket",
    "file": "is not a socket",
    "impostor": "its proof is wrong",
    "nonsense": "discriminator",
}


@pytest.mark.parametrize(("place", "what"), in_places(TOLD, TOLD, "impostor"))
async def test_a_replaced_socket(start: Start, place: str, what: str) -> None:
    async with start(place, transport="unix") as runtime:
        path = sandbox_folder(runtime.name) / "socket" / "client.sock"
        async with planted(path, what):
            assert (await runtime.run(CmdRunAction(command="echo 1"))).content == "1\n"
            runtime.cut_connection()
            asked = asyncio.create_task(runtime.run(CmdRunAction(command="echo 2")))
            async with asyncio.timeout(20):
                async for event in runtime.events.subscribe():
                    if isinstance(event, ConnectionTrouble):
                        break
            assert not asked.done()
        async with asyncio.timeout(20):
            assert (await asked).content == "2\n"
        events = list(runtime.events.since(0))
        [trouble] = [event for event in events if isinstance(event, ConnectionTrouble)]
        assert TOLD[what] in trouble.reason
        assert_one_end_each(events)


# --- the journal

DAMAGE = {
    "truncated": "for f in {j}/*.jsonl; do : > $f; done",
    "deleted": "rm -f {j}/*.jsonl",
    "deleted with its folder": "rm -rf {j}",
    "garbage": "for f in {j}/*.jsonl; do head -c 5000 /dev/urandom > $f; done",
    "edited": 'sed -i \'s/accepted/rejected/; s/"seq":[0-9]*/"seq":3/\' {j}/*.jsonl',
    "links": "for f in {j}/*.jsonl; do rm $f; ln -s /etc/passwd $f; done",
    "more than there was": "for f in {j}/*.jsonl; do cat $f $f > {j}/x; cat {j}/x > $f; done",
}


def journal_of(runtime: EventStreamRuntime) -> str:
    local = sandbox_folder(runtime.name) / "run" / "state" / "journal"
    return str(local) if local.exists() else f"{RUN}/state/journal"


async def works(runtime: EventStreamRuntime, word: str) -> None:
    async with asyncio.timeout(30):
        assert (await runtime.run(CmdRunAction(command=f"echo {word}"))).content == f"{word}\n"


QUICK = {"deleted with its folder", "garbage"}
DAMAGES = in_places(DAMAGE, QUICK, "garbage")


@pytest.mark.usefixtures("cuttable")
@pytest.mark.parametrize(("place", "how"), DAMAGES)
async def test_a_journal_that_is_damaged_while_the_client_runs(
    start: Start, place: str, how: str
) -> None:
    """During an outage, so that there is nobody else who has the events."""
    async with start(place) as runtime:
        await works(runtime, "before")
        cutter: Cutter = cutter_of(runtime)
        log = (await runtime.exec("mktemp")).stdout.decode().strip()
        damage = DAMAGE[how].format(j=journal_of(runtime))
        command = (
            f"echo one; echo ran >> {log}; sleep 0.3; echo two; {damage}; echo three; sleep 0.3"
        )
        asked = asyncio.create_task(runtime.run(CmdRunAction(command=command), id="damaging"))
        await asyncio.sleep(0.2)
        cutter.outage()
        await asyncio.sleep(0.7)
        cutter.end_outage()
        async with asyncio.timeout(30):
            (outcome,) = await asyncio.gather(asked, return_exceptions=True)
        await works(runtime, "after")
        runtime.cut_connection()
        await works(runtime, "after a cut")
        ran = (await runtime.exec(["cat", log])).stdout
        assert ran == b"ran\n"
        events = list(runtime.events.since(0))
        assert_one_end_each(events)
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, ActionLost)
            assert any(isinstance(event, HistoryGap) for event in events)
        else:
            assert outcome.content.endswith("three\n")


@pytest.mark.parametrize(("place", "how"), DAMAGES)
async def test_a_journal_that_is_damaged_before_the_client_dies(
    start: Start, place: str, how: str
) -> None:
    async with start(place) as runtime:
        await works(runtime, "before")
        [started] = [e for e in runtime.events.since(0) if isinstance(e, ClientStarted)]
        damage = DAMAGE[how].format(j=journal_of(runtime))
        command = f"echo one; {damage}; kill -9 {started.pid}; sleep 30"
        with pytest.raises(ActionLost):
            async with asyncio.timeout(30):
                await runtime.run(CmdRunAction(command=command))
        await works(runtime, "after")
        events = list(runtime.events.since(0))
        assert len([e for e in events if isinstance(e, ClientStarted)]) == 2
        assert_one_end_each(events)
        if how not in ("more than there was", "edited"):  # nothing is missing then
            assert any(isinstance(event, HistoryGap) for event in events)
