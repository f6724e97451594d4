"""The one connection to a started exec: its streams both ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ..processes import TerminalProcess
from ..protocol.bulk import BulkStream, ResizeFrame
from ..protocol.errors import TetherError, TransferError
from ..protocol.exec_frames import ClosedFrame, OutputName, StreamFrame, TakenFrame
from ..protocol.limits import BULK_CHUNK, EXEC_WINDOW

if TYPE_CHECKING:
    from .started import StartedExec


class Attachment:
    """Serves one connection; another one's coming (`replace`) ends it, and the exec goes on.

    `wake` is to be called when there is anything new to send.
    """

    def __init__(self, exec_: StartedExec, stdout: int, stderr: int) -> None:
        self._exec = exec_
        self._sent: dict[OutputName, int] = {"stdout": stdout, "stderr": stderr}
        self._taken: dict[OutputName, int] = dict(self._sent)
        self._closed: set[str] = set()
        self._current: OutputName = "stdout"
        self._told_taken = 0  # what the caller was told over a former connection may be less
        self._told_end = False
        self._news = asyncio.Event()
        self._stream: BulkStream | None = None
        self._replaced: TetherError | None = None

    @property
    def begins(self) -> dict[OutputName, int]:
        """Where its streams begin."""
        return dict(self._sent)

    def wake(self) -> None:
        """There is more output, input was taken, or the process has ended."""
        self._news.set()

    def replace(self, reason: TetherError) -> None:
        """Say why, and end. Twice is safe."""
        self._replaced = reason
        if self._stream is not None:
            self._stream.refuse(reason)
        self._news.set()

    async def serve(self, stream: BulkStream) -> None:
        """Carry bytes until the peer goes, or has everything and goes."""
        self._stream = stream
        if self._replaced is not None:
            stream.refuse(self._replaced)
            return
        self._exec.on_caller(self)
        outward = asyncio.create_task(self._outward(stream))
        try:
            await self._inward(stream)
        finally:
            outward.cancel()
            (result,) = await asyncio.gather(outward, return_exceptions=True)
            stream.close()
        if isinstance(result, Exception):
            raise result

    # --- towards the caller

    async def _outward(self, stream: BulkStream) -> None:
        try:
            while True:
                self._news.clear()
                while await self._send_some(stream):
                    pass
                await self._news.wait()
        except TransferError:  # the peer has gone
            return
        except TetherError as lost:
            stream.refuse(lost)
        except Exception as defect:
            stream.abort(f"the connection to the exec failed: {defect!r}")
            raise

    async def _send_some(self, stream: BulkStream) -> bool:
        """Send one piece of each stream; whether there was any."""
        sent = [await self._send(stream, name) for name in self._exec.outputs]
        self._send_news(stream)
        return any(sent)

    async def _send(self, stream: BulkStream, name: OutputName) -> bool:
        kept, offset = self._exec.outputs[name], self._sent[name]
        room = EXEC_WINDOW - (offset - self._taken[name])
        data = kept.read(offset, min(room, BULK_CHUNK)) if room > 0 else b""
        if data:
            if name != self._current:
                stream.send(StreamFrame(stream=name))
                self._current = name
            self._sent[name] += len(data)
            await stream.write(data)
        elif kept.ended and offset >= kept.total and name not in self._closed:
            self._closed.add(name)
            stream.send(ClosedFrame(stream=name, bytes=kept.total))
        return bool(data)

    def _send_news(self, stream: BulkStream) -> None:
        feeder, end = self._exec.feeder, self._exec.end
        if feeder.taken > self._told_taken:
            self._told_taken = feeder.taken
            stream.send(TakenFrame(stream="stdin", bytes=feeder.taken))
        if feeder.closed and "stdin" not in self._closed:
            self._closed.add("stdin")
            stream.send(ClosedFrame(stream="stdin", bytes=feeder.taken))
        if end is not None and not self._told_end:
            self._told_end = True
            stream.send(end)

    # --- from the caller

    async def _inward(self, stream: BulkStream) -> None:
        while (message := await stream.read()) is not None:
            try:
                self._take(message)
            except TransferError as problem:
                stream.abort(problem.message)

    def _take(self, message: object) -> None:
        match message:
            case bytes():
                self._exec.feeder.feed(message)
            case TakenFrame(stream="stdout" | "stderr"):
                self._release(cast("OutputName", message.stream), message.bytes)
            case ClosedFrame(stream="stdin"):
                self._exec.feeder.end(message.bytes)
            case ResizeFrame():
                if isinstance(self._exec.process, TerminalProcess):
                    self._exec.process.resize(message.rows, message.cols)
            case _:
                raise TransferError("a message that has no place on the connection to an exec")

    def _release(self, name: OutputName, offset: int) -> None:
        self._taken[name] = max(self._taken[name], offset)
        self._sent[name] = max(self._sent[name], offset)
        if name in self._exec.outputs:
            self._exec.release(name, offset)
        self._news.set()
