"""From one bulk stream to another, message by message: what one sandbox sends another receives.

Nothing is looked into and nothing kept. The two ends check the content between them, as they do
with a server at one of them, and the receiving one trusts the archive as little.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, FailFrame, HoleFrame
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.errors import TransferError


async def relay(
    source: BulkStream,
    target: BulkStream,
    size: int | None = None,
    progress: TransferProgress | None = None,
) -> EndFrame:
    """Pass on all of a transfer and the receiver's answer; returns the end, and closes both.

    Raises `TransferError`, after telling the end that went on; so does cancelling.
    """
    try:
        end, answer = await _passed_on(source, target, size, progress)
    except BaseException as error:
        why = error.message if isinstance(error, TransferError) else "the transfer was cancelled"
        for stream in (source, target):
            with suppress(TransferError):  # that one has gone already
                stream.send(FailFrame(message=why))
            stream.close()
        raise
    with suppress(TransferError):  # the sender is gone; it is all there all the same
        source.send(answer)
    source.close()
    target.close()
    return end


async def _passed_on(
    source: BulkStream, target: BulkStream, size: int | None, progress: TransferProgress | None
) -> tuple[EndFrame, EndFrame]:
    """A receiver may give up at any time, and then nobody takes what still comes."""
    answering = asyncio.create_task(target.read())
    passing = asyncio.create_task(_pass_on(source, target, size, progress))
    try:
        await asyncio.wait((answering, passing), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            end = await passing
        answer = await answering
        if isinstance(answer, FailFrame):
            raise TransferError(f"the receiver gave up: {answer.message[:500]}")
        if not isinstance(answer, EndFrame):
            raise TransferError("the receiver went before it had everything")
        end = await passing
        if answer.content != end.content:
            raise TransferError("the two sandboxes do not agree on what was transferred")
        return end, answer
    finally:
        answering.cancel()
        passing.cancel()
        await asyncio.gather(answering, passing, return_exceptions=True)


async def _pass_on(
    source: BulkStream, target: BulkStream, size: int | None, progress: TransferProgress | None
) -> EndFrame:
    passed = 0
    while True:
        message = await source.read()
        if isinstance(message, bytes):
            await target.write(message)
            passed += len(message)
        elif isinstance(message, HoleFrame):
            target.send(message)
            passed += message.bytes
        elif isinstance(message, EndFrame):
            target.send(message)
            return message
        else:
            said = f": {message.message[:500]}" if isinstance(message, FailFrame) else ""
            raise TransferError(f"the sender gave up{said}")
        if progress is not None:
            progress(passed, size)
