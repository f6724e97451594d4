"""The output of an exec: on its way as deltas, its first part kept, all of it in a file if long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..output_file import OutputFile
from ..protocol.events import Event, ExecOutputDelta, OutputOmitted
from ..protocol.limits import DELTA_SIZE, EXEC_INLINE_LIMIT
from .output_log import FLUSH_AFTER_S

log = logging.getLogger(__name__)


class ExecOutput:
    """One of the two streams of one exec. One owner, on the loop; `finish` at the end.

    What is beyond `event_limit` comes in no delta: whoever wants all of it has the file sooner.
    """

    def __init__(
        self,
        stream: Literal["stdout", "stderr"],
        action_id: str,
        folder: Path,
        emit: Callable[[Event], None],
        event_limit: int | None = None,
    ) -> None:
        self._stream: Literal["stdout", "stderr"] = stream
        self._action_id = action_id
        self._file = OutputFile(folder / f"{action_id}.{stream}")
        self._emit = emit
        self._event_limit = event_limit
        self._pending = bytearray()
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._inline = bytearray()
        self.total = 0

    def write(self, data: memoryview) -> None:
        """Take the next bytes; never fails. The view is not kept."""
        shown = (
            data if self._event_limit is None else data[: max(0, self._event_limit - self.total)]
        )
        self.total += len(data)
        self._keep(data)
        if not shown:
            return
        self._pending += shown
        if len(self._pending) >= DELTA_SIZE:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_AFTER_S, self.flush)

    def flush(self) -> None:
        """Send what waits as deltas now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, bytearray()
        for start in range(0, len(pending), DELTA_SIZE):
            self._send(bytes(pending[start : start + DELTA_SIZE]))

    def finish(self) -> None:
        """Flush, tell what came in no delta, and close the file, which stays. Twice is safe."""
        self.flush()
        if self._sent < self.total:
            self._omit()
        self._file.close()

    @property
    def inline(self) -> bytes:
        """The first part."""
        return bytes(self._inline)

    @property
    def path(self) -> str | None:
        """The file with all of it; None when the first part is all, or the disk was full."""
        is_long = self.total > len(self._inline)
        return str(self._file.path) if is_long and self._file.problem is None else None

    def _send(self, data: bytes) -> None:
        self._emit(
            ExecOutputDelta(
                action_id=self._action_id, stream=self._stream, data=data, offset=self._sent
            )
        )
        self._sent += len(data)

    def _omit(self) -> None:
        self._emit(
            OutputOmitted(
                action_id=self._action_id,
                stream=self._stream,
                from_offset=self._sent,
                to_offset=self.total,
                path=self.path,
            )
        )
        self._sent = self.total

    def _keep(self, data: memoryview) -> None:
        room = EXEC_INLINE_LIMIT - len(self._inline)
        if len(data) > room:
            if not self._file.begun:
                self._append(self._inline)
            self._append(data)
        if room > 0:
            self._inline += data[:room]

    def _append(self, data: bytearray | memoryview) -> None:
        was_whole = self._file.problem is None
        if not self._file.append(data) and was_whole:
            text = "the %s of %s cannot be kept whole: %s"
            log.warning(text, self._stream, self._action_id, self._file.problem)
