"""Readers of the stream: the past, then what comes, each at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tether_runtime_client.protocol.events import ConnectionLost, Event
from tether_server.event_stream import EventStream
from tether_server.history import History


class Source:
    """A history and its stream, written as a runtime does."""

    def __init__(self, folder: Path) -> None:
        self.history = History(folder / "history.sqlite3")
        self.history.claim()
        self.stream = EventStream(self.history)

    def tell(self, count: int = 1, action_id: str | None = None) -> None:
        for _ in range(count):
            self.history.store_event(ConnectionLost(reason="x", action_id=action_id))
            self.stream.wake()


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Source]:
    made = Source(tmp_path)
    yield made
    made.stream.end()
    made.history.close()


async def collect(stream: EventStream, since: int = 0, action_id: str | None = None) -> list[int]:
    return [event.seq async for event in stream.subscribe(since, action_id=action_id)]


async def a_moment() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_past_then_what_comes(source: Source) -> None:
    source.tell(3)
    reading = asyncio.create_task(collect(source.stream))
    await a_moment()
    source.tell(600)
    await a_moment()
    source.tell(2)
    source.stream.end()
    assert await reading == list(range(1, 606))
    assert source.stream.last_seq == 605


async def test_from_any_number_by_any_number(source: Source) -> None:
    source.tell(10)
    readers = [asyncio.create_task(collect(source.stream, since)) for since in (0, 4, 10, 12)]
    await a_moment()
    source.tell(5)
    source.stream.end()
    found = await asyncio.gather(*readers)
    assert found == [list(range(since + 1, 16)) for since in (0, 4, 10, 12)]


async def test_of_one_action_only(source: Source) -> None:
    reading = asyncio.create_task(collect(source.stream, 0, "a"))
    for number in range(9):
        source.tell(1, "a" if number % 3 == 0 else "b" if number % 3 == 1 else None)
        await a_moment()
    source.stream.end()
    assert await reading == [1, 4, 7]


async def test_until_something_is_known(source: Source) -> None:
    """What was told by then is read; the stream itself goes on."""
    known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read() -> list[int]:
        return [event.seq async for event in source.stream.subscribe(until=known)]

    reading = asyncio.create_task(read())
    source.tell(300)
    await a_moment()
    assert not reading.done()
    known.set_result(None)
    source.tell(2)
    assert await reading == list(range(1, 303))


async def test_the_end_comes_after_the_last_event(source: Source) -> None:
    source.tell(3)
    source.stream.end()
    source.stream.end()
    assert await collect(source.stream) == [1, 2, 3]
    assert await collect(source.stream, 3) == []


async def test_an_event_that_is_told_while_a_reader_is_busy_is_not_missed(source: Source) -> None:
    source.tell()
    seen: list[int] = []
    async for event in source.stream.subscribe():
        seen.append(event.seq)
        if len(seen) < 20:
            source.tell()
        else:
            break
    assert seen == list(range(1, 21))


async def test_a_slow_reader_holds_nobody_up(source: Source) -> None:
    slow = source.stream.subscribe()
    quick = asyncio.create_task(collect(source.stream))
    source.tell(1)
    assert (await anext(slow)).seq == 1
    source.tell(1000)
    await a_moment()
    source.stream.end()
    assert await quick == list(range(1, 1002))
    assert [event.seq async for event in slow] == list(range(2, 1002))


async def test_a_reader_that_is_cancelled_leaves_nothing(source: Source) -> None:
    readers = [asyncio.create_task(collect(source.stream)) for _ in range(5)]
    await a_moment()
    assert len(source.stream._waiters) == 5
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    assert source.stream._waiters == set()
    source.tell()


async def test_a_reader_that_breaks_off_leaves_nothing(source: Source) -> None:
    source.tell(3)
    async for _ in source.stream.subscribe():
        break
    assert source.stream._waiters == set()


async def test_since_ends_at_the_newest(source: Source) -> None:
    source.tell(5)
    events: list[Event] = list(source.stream.since(2))
    assert [event.seq for event in events] == [3, 4, 5]
    assert [event.seq for event in source.stream.since()] == [1, 2, 3, 4, 5]


async def test_waking_nobody_is_no_trouble(source: Source) -> None:
    source.stream.wake()
    waiting = asyncio.create_task(collect(source.stream))
    await a_moment()
    source.stream.wake()
    source.stream.wake()
    await a_moment()
    assert not waiting.done()
    source.stream.end()
    assert await waiting == []


async def test_it_stays_readable_after_the_history_was_closed(source: Source) -> None:
    source.tell(3)
    source.stream.end()
    source.history.close()
    assert await collect(source.stream) == [1, 2, 3]
    assert [event.seq for event in source.stream.since(1)] == [2, 3]
