"""Passing a transfer on between two sandboxes, either of which may do anything."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tether_runtime_client.protocol.bulk import (
    BulkStream,
    EndFrame,
    FailFrame,
    HoleFrame,
    ReceivedFrame,
)
from tether_runtime_client.protocol.errors import TicketInvalid, TransferError
from tether_runtime_client.protocol.transfer import Received
from tether_server.relay import Passing

from ..runtime_client.handlers.conftest import connected_pair, word

DATA = os.urandom(100_000)
END = EndFrame(bytes=len(DATA), crc32=f"{zlib.crc32(DATA):08x}")


@dataclass
class Ends:
    """The two sandboxes' ends, and the server's task between them."""

    sender: BulkStream
    receiver: BulkStream
    task: asyncio.Task[Received]
    told: list[tuple[int, int | None]]


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    source, sender = await connected_pair()
    target, receiver = await connected_pair()
    told: list[tuple[int, int | None]] = []
    passing = Passing(len(DATA), lambda done, total: told.append((done, total)))
    task = asyncio.create_task(passing.run(source, target))
    yield Ends(sender, receiver, task, told)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for stream in (source, sender, target, receiver):
        stream.abort("the test is over")


async def test_all_of_it_is_passed_on_and_so_is_the_answer(ends: Ends) -> None:
    await ends.sender.write(DATA[:60_000])
    ends.sender.send(HoleFrame(bytes=5))
    await ends.sender.write(DATA[60_000:])
    ends.sender.send(END)
    got = [await ends.receiver.read() for _ in range(4)]
    assert got == [DATA[:60_000], HoleFrame(bytes=5), DATA[60_000:], END]
    assert not ends.task.done(), "nobody has said that it is there"
    ends.receiver.send(END)
    assert await ends.task == (END, END)
    assert await word(ends.sender) == END
    assert ends.told == [(60_000, 100_000), (60_005, 100_000), (100_005, 100_000)]


async def test_how_much_has_come_is_passed_on_to_the_sender(ends: Ends) -> None:
    ends.receiver.send(ReceivedFrame(bytes=70_000))
    assert await ends.sender.read() == ReceivedFrame(bytes=70_000)
    await ends.sender.write(DATA[70_000:])
    ends.sender.send(END)
    ends.receiver.send(END)
    await ends.task
    assert ends.told == [(100_000, 100_000)], "it goes on where it was"


async def test_a_sender_that_begins_before_the_receiver_s_first_word(ends: Ends) -> None:
    await ends.sender.write(DATA[:10_000])
    assert await ends.receiver.read() == DATA[:10_000]
    ends.receiver.send(ReceivedFrame(bytes=0))
    assert await ends.sender.read() == ReceivedFrame(bytes=0)
    await ends.sender.write(DATA[10_000:])
    ends.sender.send(END)
    ends.receiver.send(END)
    await ends.task
    assert ends.told == [(10_000, 100_000), (100_000, 100_000)]


async def test_a_sender_that_gives_up(ends: Ends) -> None:
    await ends.sender.write(DATA)
    ends.sender.send(FailFrame(message="it vanished"))
    with pytest.raises(TransferError, match="the sender gave up: it vanished"):
        await ends.task
    assert await ends.receiver.read() == DATA
    assert isinstance(await ends.receiver.read(), FailFrame)


async def test_a_receiver_that_gives_up_in_the_middle(ends: Ends) -> None:
    await ends.sender.write(DATA)
    ends.receiver.send(FailFrame(message="no space is left"))
    with pytest.raises(TransferError, match="gave up: no space is left"):
        await ends.task
    assert isinstance(await ends.sender.read(), FailFrame)


@pytest.mark.parametrize("which", ["sender", "receiver"])
@pytest.mark.parametrize("how", ["cut", "closed", "a used ticket"])
async def test_a_connection_that_is_lost(ends: Ends, which: str, how: str) -> None:
    stream: BulkStream = getattr(ends, which)
    await ends.sender.write(DATA)
    if how == "cut":
        stream.abort("cut")
    elif how == "closed":
        stream.close()
    else:
        stream.refuse(TicketInvalid("it was used"))
    with pytest.raises(ConnectionError):
        await ends.task


async def test_an_answer_that_does_not_agree(ends: Ends) -> None:
    ends.sender.send(END)
    assert await ends.receiver.read() == END
    ends.receiver.send(END.model_copy(update={"bytes": 5}))
    with pytest.raises(TransferError, match="do not agree"):
        await ends.task
    assert isinstance(await ends.sender.read(), FailFrame)


async def test_a_frame_that_has_no_place_in_a_transfer(ends: Ends) -> None:
    ends.receiver.send(HoleFrame(bytes=1))
    with pytest.raises(TransferError, match="went before"):
        await ends.task


async def test_cancelling_tells_both(ends: Ends) -> None:
    await ends.sender.write(DATA)
    assert await ends.receiver.read() == DATA
    ends.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ends.task
    for stream in (ends.sender, ends.receiver):
        assert await stream.read() == FailFrame(message="the transfer was cancelled")
        assert await stream.read() is None


async def test_a_slow_receiver_slows_the_sender(ends: Ends) -> None:
    async def flood() -> None:
        for _ in range(1000):
            await ends.sender.write(DATA)

    flooding = asyncio.create_task(flood())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(flooding), 0.5)
    assert ends.told[-1][0] < 50 * len(DATA), "it does not pile up here"
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
