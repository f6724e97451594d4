"""From one bulk connection to another, message by message: what one sandbox sends another receives.

Nothing is looked into and nothing kept. The two ends check the content between them, as they do
with a server at one of them, and the receiving one trusts the archive as little. When either
connection is lost both are made anew, and the receiver's first word goes to the sender.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tether_runtime_client.protocol.bulk import (
    BulkFrame,
    BulkStream,
    EndFrame,
    FailFrame,
    HoleFrame,
    ReceivedFrame,
)
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.errors import TicketInvalid, TransferError
from tether_runtime_client.protocol.transfer import Received, answer_again

from .passage import Passage


async def relay(
    leaving: Passage,
    arriving: Passage,
    size: int | None = None,
    progress: TransferProgress | None = None,
) -> Received:
    """Pass on all of a transfer and the receiver's answer, whatever becomes of the connections.

    Raises `TransferError`, after telling the end that went on; so does cancelling.
    """
    passing = Passing(size, progress)
    while True:
        inward = await arriving.connect()
        if inward is None:  # it has everything: its answer was lost
            return passing.answered()
        outward = await leaving.connect()
        if outward is None:
            raise TransferError("the sender ended the transfer before the receiver had everything")
        try:
            return await passing.run(outward, inward)
        except ConnectionError as problem:
            for passage in (leaving, arriving):
                passage.cut(str(problem))


class Passing:
    """One transfer that is passed on. `progress` never goes back."""

    def __init__(self, size: int | None = None, progress: TransferProgress | None = None) -> None:
        self._size = size
        self._progress = progress
        self._passed = 0
        self._told = 0
        self._resumed = False  # whether these connections are not the first
        self._end: EndFrame | None = None

    async def run(self, source: BulkStream, target: BulkStream) -> Received:
        """Pass on until the receiver has everything; closes both.

        Raises `ConnectionError` when either is lost, and `TransferError` when either gives up.
        """
        try:
            received = await self._both_ways(source, target)
        except ConnectionError:
            raise
        except BaseException as error:
            why = (
                error.message if isinstance(error, TransferError) else "the transfer was cancelled"
            )
            for stream in (source, target):
                with suppress(TransferError):  # that one has gone already
                    stream.send(FailFrame(message=why))
                stream.close()
            raise
        answer_again(source, received.answer)
        target.close()
        return received

    def answered(self) -> Received:
        """The receiver has ended well, and nobody heard its answer."""
        if self._end is None:
            raise TransferError("the receiver ended the transfer before the sender had")
        return Received(self._end, self._end)

    async def _both_ways(self, source: BulkStream, target: BulkStream) -> Received:
        """A receiver may give up at any time, and then nobody takes what still comes."""
        back = asyncio.create_task(self._back(target, source))
        forth = asyncio.create_task(self._forth(source, target))
        try:
            await asyncio.wait((back, forth), return_when=asyncio.FIRST_EXCEPTION)
            if target.closed_because is not None:
                await back  # it may say why
            if forth.done():
                await forth
            answer, end = await back, await forth
        finally:
            self._resumed = True
            back.cancel()
            forth.cancel()
            await asyncio.gather(back, forth, return_exceptions=True)
        if answer.content != end.content:
            raise TransferError("the two sandboxes do not agree on what was transferred")
        return Received(end, answer)

    async def _forth(self, source: BulkStream, target: BulkStream) -> EndFrame:
        while True:
            message = await _word(source)
            try:
                if isinstance(message, bytes):
                    await target.write(message)
                elif isinstance(message, HoleFrame | EndFrame):
                    target.send(message)
            except TransferError as problem:
                raise ConnectionError(problem.message) from problem
            match message:
                case bytes():
                    self._tell(len(message))
                case HoleFrame():
                    self._tell(message.bytes)
                case EndFrame():
                    self._end = message
                    return message
                case FailFrame():
                    raise TransferError(f"the sender gave up: {message.message[:500]}")
                case _:
                    raise TransferError(f"the sender gave up: it sent a {message.type} message")

    async def _back(self, target: BulkStream, source: BulkStream) -> EndFrame:
        first = True
        while True:
            message = await _word(target)
            match message:
                case ReceivedFrame():
                    # Where nothing has come yet, the sender may have begun before this word.
                    if first and (message.bytes or self._resumed):
                        self._passed = message.bytes
                    first = False
                    with suppress(TransferError):  # that it is gone shows elsewhere
                        source.send(message)
                case EndFrame():
                    return message
                case FailFrame():
                    raise TransferError(f"the receiver gave up: {message.message[:500]}")
                case _:
                    raise TransferError("the receiver went before it had everything")

    def _tell(self, count: int) -> None:
        self._passed += count
        if self._progress is not None and self._passed > self._told:
            self._told = self._passed
            self._progress(self._passed, self._size)


async def _word(stream: BulkStream) -> bytes | BulkFrame:
    """The next message; raises `ConnectionError` when there is none any more."""
    message = await stream.read()
    if message is None:
        raise ConnectionError(stream.closed_because or "the connection was closed")
    if isinstance(message, FailFrame) and message.code == TicketInvalid.code:
        raise ConnectionError(message.message)
    return message
