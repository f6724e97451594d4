"""The near ends of a process's streams, when the far end is slow, cut off or a liar."""

from __future__ import annotations

import asyncio

import pytest

from tether_server import StdinClosed, TransferError
from tether_server.process_streams import LINE_LIMIT, Bell, ProcessInput, ProcessOutput

WINDOW = 512 * 1024


class Told:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def output() -> ProcessOutput:
    return ProcessOutput(Bell(), Told())


@pytest.fixture
def stdin() -> ProcessInput:
    return ProcessInput(Bell(), Told())


async def test_lines_and_parts(output: ProcessOutput) -> None:
    output.feed(b"one\ntw")
    assert await output.readline() == b"one\n"
    assert await output.read(1) == b"t"
    line = asyncio.create_task(output.readline())
    await asyncio.sleep(0)
    output.feed(b"o\nrest")
    assert await line == b"wo\n"
    output.end(12)
    assert [each async for each in output] == [b"rest"]
    assert (await output.read(), await output.readline(), output.at_end) == (b"", b"", True)


async def test_a_line_without_end_takes_no_end_of_memory(output: ProcessOutput) -> None:
    async def feed() -> None:
        for _ in range(8):
            while output._buffer:
                await asyncio.sleep(0)
            output.feed(b"x" * WINDOW)

    feeding = asyncio.create_task(feed())
    assert await output.readline() == b"x" * LINE_LIMIT
    output.discard()
    await feeding


async def test_more_than_was_allowed(output: ProcessOutput) -> None:
    output.feed(b"x" * WINDOW)
    with pytest.raises(TransferError, match="more output than it may"):
        output.feed(b"x")


async def test_what_comes_twice_is_taken_once(output: ProcessOutput) -> None:
    output.feed(b"abcdef")
    assert await output.read(2) == b"ab"
    assert output.taken == 2
    output.begin(2)  # a new connection sends what was not taken again
    output.feed(b"cd")
    output.feed(b"efgh")
    output.end(8)
    assert await output.read() == b"cdefgh"


async def test_a_hole_is_told(output: ProcessOutput) -> None:
    with pytest.raises(TransferError, match="5 bytes of output have gone to another"):
        output.begin(5)
    with pytest.raises(TransferError, match="0 bytes of output came, and 3 were told"):
        output.end(3)


async def test_an_error_stands_behind_what_has_come(output: ProcessOutput) -> None:
    output.feed(b"last words")
    output.fail(TransferError("it went"))
    assert await output.read(100) == b"last words"
    with pytest.raises(TransferError, match="it went"):
        await output.read(100)


async def test_a_writer_waits_for_the_process(stdin: ProcessInput) -> None:
    writing = asyncio.create_task(stdin.write(b"x" * (WINDOW + 10)))
    await asyncio.sleep(0)
    assert (stdin.total, writing.done()) == (WINDOW, False)
    stdin.take(4)
    await asyncio.sleep(0.01)
    assert (stdin.total, writing.done()) == (WINDOW + 4, False)
    assert stdin.since(WINDOW, 100) == b"x" * 4
    stdin.take(100)
    await writing
    for lie in (99, WINDOW + 11):
        with pytest.raises(TransferError, match="not sent"):
            stdin.take(lie)
    with pytest.raises(TransferError, match="another caller"):
        stdin.check(5)


async def test_a_writer_is_woken_by_the_end(stdin: ProcessInput) -> None:
    writing = asyncio.create_task(stdin.write(b"x" * (WINDOW + 10)))
    await asyncio.sleep(0)
    stdin.fail(StdinClosed("the process has ended"))
    with pytest.raises(StdinClosed, match="has ended"):
        await writing
    assert stdin.since(0, 100) == b""
