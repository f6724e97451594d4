"""One connection to a process: bytes both ways, until it is lost or everything has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from tether_runtime_client.protocol.bulk import BulkFrame, BulkStream, FailFrame, ResizeFrame
from tether_runtime_client.protocol.errors import StdinClosed, TransferError, error_from_code
from tether_runtime_client.protocol.exec_frames import (
    ClosedFrame,
    EndedFrame,
    OutputName,
    StreamFrame,
    TakenFrame,
)
from tether_runtime_client.protocol.limits import BULK_CHUNK, MAX_SEQUENCE

from .process_streams import ProcessInput, ProcessOutput


class Connection:
    """Serves once. What comes from the sandbox is hostile: no more is taken than was allowed."""

    def __init__(
        self,
        stream: BulkStream,
        stdin: ProcessInput,
        outputs: Mapping[OutputName, ProcessOutput],
        on_end: Callable[[EndedFrame], None],
    ) -> None:
        self._stream = stream
        self._stdin = stdin
        self._outputs = outputs
        self._on_end = on_end
        self._current = outputs["stdout"]
        self._ended = False

    async def serve(self, offset: int, unsent: asyncio.Event, size: ResizeFrame | None) -> None:
        """Send input from `offset` on, `unsent` being set for more, and take what comes.

        Returns when the connection is lost, or everything has come. Raises the error that the
        sandbox ends it with, and `TransferError` for what no sandbox of ours says.
        """
        sending = asyncio.create_task(self._send(offset, unsent))
        try:
            if size is not None:
                self.resize(size)
            await self._receive()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._stream.close()

    def resize(self, size: ResizeFrame) -> None:
        """The terminal has another size; what cannot be sent now is sent over the next one."""
        with suppress(TransferError):
            self._stream.send(size)

    def cut(self) -> None:
        """Drop it as a broken network would."""
        self._stream.abort("cut on request")

    # --- inside

    async def _send(self, at: int, unsent: asyncio.Event) -> None:
        stdin, end_sent = self._stdin, False
        with suppress(TransferError):  # lost: there will be another
            while True:
                unsent.clear()
                while data := stdin.since(at, BULK_CHUNK):
                    at += len(data)
                    await self._stream.write(data)
                if stdin.ending and at == stdin.total and not end_sent:
                    end_sent = True
                    self._stream.send(ClosedFrame(stream="stdin", bytes=at))
                self._tell_taken()
                await unsent.wait()

    def _tell_taken(self) -> None:
        for name, output in self._outputs.items():
            if output.news:
                output.told = output.taken
                self._stream.send(TakenFrame(stream=name, bytes=output.told))

    async def _receive(self) -> None:
        while (message := await self._stream.read()) is not None:
            if isinstance(message, bytes):
                self._current.feed(message)
            else:
                self._take(message)
            if self._ended and all(output.ended for output in self._outputs.values()):
                self._let_go()
                return

    def _let_go(self) -> None:
        """Everything is here: the sandbox need not keep it for another connection."""
        with suppress(TransferError):
            for name in self._outputs:
                self._stream.send(TakenFrame(stream=name, bytes=MAX_SEQUENCE))

    def _take(self, frame: BulkFrame) -> None:
        match frame:
            case StreamFrame() if frame.stream in self._outputs:
                self._current = self._outputs[frame.stream]
            case TakenFrame(stream="stdin"):
                self._stdin.take(frame.bytes)
            case ClosedFrame(stream="stdin"):
                self._stdin.fail(StdinClosed("the process takes no more input"))
            case ClosedFrame(stream="stdout" | "stderr" as name) if name in self._outputs:
                self._outputs[name].end(frame.bytes)
            case EndedFrame():
                self._ended = True
                self._on_end(frame)
            case FailFrame():
                raise error_from_code(frame.code, frame.message)
            case _:
                raise TransferError(f"the sandbox sent a {frame.type!r} message out of place")
