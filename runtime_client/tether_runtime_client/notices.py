"""What the supervisor tells the client of the image's entrypoint, recorded as events."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Callable

from .bounded_log import tail
from .protocol.events import EntrypointEnded, EntrypointStarted, Event
from .protocol.render import render

OUTPUT_BYTES = 4_000
"""How much of the entrypoint's last output its end is reported with."""

_READ = 64 * 1024
_NOTICE = re.compile(
    r"beside (?P<what>started|failed|ended)"
    r"(?: pid=(?P<pid>\d+))?(?: errno=(?P<errno>\d+))?"
    r"(?: code=(?P<code>\d+))?(?: signal=(?P<signal>\d+))?(?: log=(?P<log>.+))?"
)

log = logging.getLogger(__name__)


class Notices:
    """Reads the supervisor's lines as they come, until `close`. One that came before waits."""

    def __init__(self, descriptor: int, emit: Callable[[Event], None]) -> None:
        self._descriptor = descriptor
        self._emit = emit
        self._partial = b""

    def start(self) -> None:
        """Listen on the running loop."""
        os.set_blocking(self._descriptor, False)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def close(self) -> None:
        """Listen no more. Twice is safe."""
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="surrogateescape"))

    def _take(self, line: str) -> None:
        found = _NOTICE.fullmatch(line)
        if found is None:
            log.warning("the supervisor said what this client does not understand: %r", line)
            return
        self._emit(_event(found))


def _event(found: re.Match[str]) -> Event:
    pid = int(found["pid"] or 0) or None
    if found["what"] == "started":
        return EntrypointStarted(pid=pid or 0, output_path=found["log"])
    if found["what"] == "failed":
        reason = f"it could not be started: {os.strerror(int(found['errno'] or 0))}"
        return EntrypointEnded(reason=reason)
    return _ended(found, pid)


def _ended(found: re.Match[str], pid: int | None) -> EntrypointEnded:
    number = int(found["signal"]) if found["signal"] else None
    code = int(found["code"]) if found["code"] else None
    output = tail(found["log"], OUTPUT_BYTES) if found["log"] else b""
    return EntrypointEnded(
        pid=pid,
        exit_code=code if number is None else 128 + number,
        signal=number,
        reason=f"exit code {code}" if number is None else _signal(number),
        output=render(output),
        output_path=found["log"],
    )


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal
        return f"signal {number}"
