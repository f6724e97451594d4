"""A runtime client that is hostile, and knows the secret: what it says costs the server nothing.

Every case speaks over a real connection to a real link with its history.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.actions import CmdRunAction
from tether_runtime_client.protocol.channel import Channel, server_channel
from tether_runtime_client.protocol.errors import ProtocolError, TetherError
from tether_runtime_client.protocol.events import CmdOutputDelta, HistoryGap, SandboxStarted
from tether_runtime_client.protocol.frames import (
    ChallengeFrame,
    EpochRange,
    ErrorFrame,
    HelloFrame,
    RejectedFrame,
    RotatedFrame,
    RotatingFrame,
    WelcomeFrame,
    decode_from_server,
    encode,
    encode_numbered,
)
from tether_runtime_client.protocol.limits import MAX_EPOCHS, MAX_SEQUENCE, PROTOCOL_VERSION
from tether_runtime_client.protocol.observations import CmdOutputObservation, DoneObservation
from tether_server.event_stream import EventStream
from tether_server.history import History
from tether_server.link import Ended, Link
from tether_server.submissions import Submissions
from tether_server.transports import UnixTransport

from ..runtime_client.mutation import mutated, mutated_json

SECRET, NONCE = "5" * 64, "c" * 32
EPOCH = "0123456789abcdef"
SEED = 20261122
DELTA = CmdOutputDelta(action_id="never-submitted", content="x", session="s", offset=0, length=1)
DONE = DoneObservation(action_id="never-submitted")


def welcome(first: int = 1, last: int = 0, **changes: Any) -> bytes:
    span = EpochRange(epoch=EPOCH, first=first, last=last)
    fields: dict[str, Any] = {"epoch": EPOCH, "fence": 1, "epochs": (span,), **changes}
    return encode(WelcomeFrame(**fields))


def event(seq: int, what: Any = DELTA, epoch: str = EPOCH) -> bytes:
    return encode_numbered(epoch, seq, what)


class Hostile:
    """Answers a hello as it should, and an attach with what the test says. A channel `Receiver`."""

    def __init__(self, says: Callable[[], list[bytes]]) -> None:
        self._says = says
        self._channel: Channel | None = None

    def on_open(self, channel: Channel, path: str) -> None:
        self._channel = channel
        channel.trust()

    def on_text(self, text: bytes) -> None:
        assert self._channel is not None
        frame = decode_from_server(text)
        if isinstance(frame, HelloFrame):
            proof = auth.client_proof(SECRET, frame.nonce, NONCE)
            said = [encode(ChallengeFrame(version=PROTOCOL_VERSION, nonce=NONCE, proof=proof))]
        elif frame.type == "attach":
            said = self._says()
        else:
            return
        for text in said:
            self._channel.send_text(text)

    def on_binary(self, data: bytes) -> None:
        """It does not care."""

    def on_pong(self) -> None:
        """It does not care."""

    def on_writable(self) -> None:
        """It does not care."""

    def on_close(self, reason: str) -> None:
        """It does not care."""


class Server:
    """A link with its history, and how often the other end was connected to."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.history = History(folder / "history.sqlite3")
        self.events = EventStream(self.history)
        self.submissions = Submissions(self.history, self.events)
        self.link = Link(UnixTransport(path), lambda: SECRET, self.submissions, alive)
        self.submissions.bind(self.link, "", SandboxStarted(name="box", backend="local"))

    async def close(self) -> None:
        await self.link.close()
        self.submissions.close()
        self.history.close()


async def alive() -> Ended | None:
    return None


@asynccontextmanager
async def against(folder: Path, says: Callable[[], list[bytes]]) -> AsyncIterator[Server]:
    folder.mkdir(exist_ok=True)
    path = folder / "client.sock"
    loop = asyncio.get_running_loop()
    listening = await loop.create_unix_server(
        lambda: server_channel(lambda _: Hostile(says)), str(path)
    )
    server = Server(folder, path)
    try:
        yield server
    finally:
        await server.close()
        listening.close()


async def start(folder: Path, says: list[bytes]) -> TetherError | None:
    """What becomes of a first connection."""
    async with against(folder, lambda: says) as server:
        try:
            await asyncio.wait_for(server.link.start(), 20)
        except TetherError as problem:
            return problem
        except ConnectionError:
            return None
    return None


BAD: dict[str, tuple[list[bytes], str]] = {
    "no welcome at all": ([event(1)], "out of order"),
    "a second welcome": ([welcome(1, 2), welcome()], "out of order"),
    "a gap in the numbers": ([welcome(1, 5), event(2)], "event 1 of epoch .* is missing"),
    "a jump in the numbers": ([welcome(1, 5), event(1), event(3)], "missing"),
    "a huge number": ([welcome(1, MAX_SEQUENCE), event(MAX_SEQUENCE)], "missing"),
    "a number that is none": (
        [welcome(1, 5), event(1).replace(b'"seq":1', b'"seq":%d' % 2**70, 1)],
        "seq",
    ),
    "another epoch": ([welcome(1, 2), event(1, epoch="f" * 16)], "did not announce"),
    "a giant frame": ([welcome(1, 2), b'"' + b"x" * 9_000_000 + b'"'], "too big|limit|size"),
    "a giant number": ([welcome(1, 2), b'{"type":"event","seq":' + b"9" * 100_000 + b"}"], "read"),
    "deep nesting": ([welcome(1, 2), b"[" * 100_000], "read"),
    "wrong types": ([welcome(1, 2), b'{"type":["event"],"seq":{},"epoch":3}'], "read"),
    "too many lives": (
        [
            b'{"type":"welcome","epoch":"%b","fence":1,"epochs":[%b]}'
            % (
                EPOCH.encode(),
                b",".join(
                    b'{"epoch":"%016x","first":1,"last":1}' % n for n in range(MAX_EPOCHS + 1)
                ),
            )
        ],
        "epochs",
    ),
    "an answer to nothing": ([welcome(1, 2), encode(RotatedFrame())], "nobody asked"),
    "half an agreement": (
        [welcome(1, 2), encode(RotatingFrame(public="0" * 512, proof="0" * 64))],
        "nobody asked",
    ),
    "an error of its own": (
        [encode(ErrorFrame(code="no_such_code", message="\x1b[2Jgone", hint=""))],
        "gone",
    ),
    "an error that is another kind's": (
        [encode(ErrorFrame(code="sandbox_not_found", message="gone"))],
        "gone",
    ),
}


@pytest.mark.parametrize("what", list(BAD))
async def test_what_ends_the_connection_is_told_precisely(tmp_path: Path, what: str) -> None:
    said, told = BAD[what]
    async with against(tmp_path, lambda: said) as server:
        with pytest.raises((ProtocolError, ConnectionError), match=told):
            await asyncio.wait_for(server.link.start(), 20)


async def test_ends_of_what_was_never_begun_change_nothing(tmp_path: Path) -> None:
    strange = [
        event(1, DONE),
        event(2, DONE),
        event(
            3,
            CmdOutputObservation(
                action_id="mine",
                session="s",
                content="forged",
                status="completed",
                cwd="/",
                exit_code=0,
            ),
        ),
        encode(RejectedFrame(id="nobody-s", code="internal_error", message="x")),
        event(4, DELTA),
    ]
    async with against(tmp_path, lambda: [welcome(1, 3), *strange]) as server:
        await asyncio.wait_for(server.link.start(), 20)
        assert not server.submissions._frames
        assert not server.submissions._waiting
        answer = server.submissions.submit(CmdRunAction(command="true"), "other").answer
        await asyncio.sleep(0.1)
        assert not answer.done()


def forever() -> Iterator[str]:
    return (f"{number:016x}" for number in itertools.count(1))


async def test_endless_lives_and_replays_cost_no_memory(tmp_path: Path) -> None:
    """Each connection brings as many lives as it may, is of use, and ends: hundreds of them."""
    names = forever()
    connections = itertools.count()

    def says() -> list[bytes]:
        next(connections)
        epochs = [next(names) for _ in range(MAX_EPOCHS)]
        spans = tuple(EpochRange(epoch=e, first=1, last=1) for e in epochs)
        said = encode(WelcomeFrame(epoch=epochs[-1], fence=1, epochs=spans))
        return [said, *(event(1, epoch=e) for e in epochs), b"end"]

    async with against(tmp_path, says) as server:
        await server.link.start()
        while next(connections) < 24:
            await asyncio.sleep(0.05)
        assert len(server.submissions.progress()) <= 10 * MAX_EPOCHS
        assert not server.submissions._frames


async def test_malformed_conversations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Seeded mutations of a good one: an error of the protocol, or nothing; and nothing stays."""
    defects: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    good = [
        welcome(1, 3),
        event(1),
        event(2, HistoryGap(epoch=EPOCH, first=1, last=2, reason="x")),
        event(3, DONE),
        encode(RejectedFrame(id="a", code="internal_error", message="x")),
        encode(RotatingFrame(public="0" * 512, proof="0" * 64)),
        event(
            4,
            CmdOutputObservation(
                session="s", content="x", status="completed", cwd="/", exit_code=0
            ),
        ),
    ]

    async def one(number: int) -> None:
        chance = random.Random(SEED + number)
        said = list(good)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(said))
            change = chance.choice([mutated, mutated_json])
            try:
                said[at] = change(said[at], chance)
            except ValueError:  # it is no JSON any more
                continue
        if chance.random() < 0.3:
            chance.shuffle(said)
        await start(tmp_path / f"{number}", [*said, b"end"])

    for number in range(30):
        await one(number)
    before = usage()
    for number in range(30, 100):
        await one(number)
    after = usage()
    assert after["descriptors"] <= before["descriptors"]
    assert after["tasks"] <= before["tasks"]
    assert after["blocks"] - before["blocks"] < 3000
    assert defects == []
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def usage() -> dict[str, int]:
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "blocks": sys.getallocatedblocks(),
    }
