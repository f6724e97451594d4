"""The byte log of one command: exact in a file, bounded in memory, on its way as deltas."""

from __future__ import annotations

import asyncio
import codecs
import errno
from collections.abc import Callable
from pathlib import Path

from ..output_file import OutputFile
from ..protocol.events import CmdOutputDelta, Event, SessionWarning
from ..protocol.limits import CONTENT_LIMIT, DELTA_SIZE
from ..protocol.render import HeadTail, render, unfinished

FLUSH_AFTER_S = 0.005
"""Output waits this long for more of it, so that many small writes make one event."""


class OutputLog:
    """Takes what a command's terminal gets. One owner, on the loop."""

    def __init__(
        self, session: str, action_id: str, path: str | Path, emit: Callable[[Event], None]
    ) -> None:
        self._session = session
        self._action_id = action_id
        self._file = OutputFile(path)
        self._emit = emit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._sent = 0
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._early = bytearray()
        self._new = HeadTail()
        self._written = self._loop.time()
        self.total = 0
        self.incomplete: str | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; never blocks and never fails. They are copied once, here."""
        chunk = bytes(data)
        self.total += len(chunk)
        self._written = self._loop.time()
        self._new.write(chunk)
        self._spill(chunk)
        if self._pending_size + len(chunk) > DELTA_SIZE:
            self.flush()
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_AFTER_S, self.flush)

    def last_write(self) -> float:
        """The loop's time of the newest output, or of the command's start."""
        return self._written

    def tail(self, offset: int, limit: int) -> tuple[int, bytes]:
        """The bytes from `offset` on, the last `limit` at most, and where the first of them is.

        It is a later one than asked for where the log is not kept whole.
        """
        start = max(offset, self.total - limit)
        if len(self._early) == self.total:
            return start, bytes(self._early[start:])
        data = self._read(start) if self.incomplete is None else None
        if data is None:
            data = self._new.tail()[-(self.total - start) :] if start < self.total else b""
            start = self.total - len(data)
        return start, data

    def _read(self, start: int) -> bytes | None:
        """From the file; None where it is not there any more."""
        try:
            return self._file.read(start, self.total - start)
        except OSError:
            return None

    def flush(self, *, last: bool = False) -> None:
        """Send what waits as a delta now. Cuts between characters, but for the `last` one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data, self._pending, self._pending_size = b"".join(self._pending), [], 0
        for start in range(0, len(data), DELTA_SIZE):
            self._send(data[start : start + DELTA_SIZE])
        if last and self._held:
            self._send(b"", last=True)

    def report(self, *, ansi: bool, last: bool = False) -> tuple[str, bool, str | None]:
        """What is new since the last report: content, whether it was cut, and the file's path.

        The path is None when all of the command's bytes were in the contents, exactly. What only
        begins a character or a control sequence waits for the next report, but for the `last`
        one, which closes the file; that stays.
        """
        self.flush(last=last)
        new, self._new = self._new, HeadTail()
        kept = new.kept()
        if not last and (begun := unfinished(kept)):
            kept = kept[: -len(begun)]
            self._new.write(begun)
        content = render(kept, ansi=ansi)
        if not self._file.begun and self.incomplete is None and content.encode() != kept:
            self._begin_file()
        path = str(self._file.path) if self._file.begun and self.incomplete is None else None
        if last:
            self.close()
        return content, new.truncated, path

    def close(self) -> None:
        """Flush and close the file, which stays. Twice is safe."""
        self.flush(last=True)
        self._file.close()

    def _send(self, data: bytes, *, last: bool = False) -> None:
        content = self._decoder.decode(data, last)
        held = len(self._decoder.getstate()[0])
        end = self._sent + self._held + len(data) - held
        length = end - self._sent
        self._held = held
        if length:
            self._emit(
                CmdOutputDelta(
                    content=content,
                    session=self._session,
                    action_id=self._action_id,
                    offset=self._sent,
                    length=length,
                )
            )
            self._sent = end

    def _spill(self, data: bytes) -> None:
        """To the file once there is one, or once there is too much to keep."""
        if self.incomplete is not None:
            return
        if self._file.begun:
            self._append(data)
            return
        self._early += data
        if len(self._early) > CONTENT_LIMIT:
            self._begin_file()

    def _begin_file(self) -> None:
        early, self._early = self._early, bytearray()
        self._append(early)

    def _append(self, data: bytes | bytearray) -> None:
        if not self._file.append(data) and self._file.problem is not None:
            self._give_up(self._file.problem)

    def _give_up(self, problem: OSError) -> None:
        """The file cannot be written: say so, and keep head and tail."""
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        self.incomplete = "the disk is full" if full else str(problem)
        text = f"the output of this command cannot be kept whole: {self.incomplete}"
        self._emit(SessionWarning(action_id=self._action_id, session=self._session, message=text))
