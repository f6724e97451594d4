"""Reads the shell's reports from the status channel. Pure: bytes in, records out.

A report is one line, `NONCE repeat [x]$? $- NONCE $PWD NONCE $TMOUT NONCE` (the spaces around the
last ones are not there), with the traps that `trap -p DEBUG ERR` prints before it. The nonce is
fresh and random for every command. Anything else on the channel was written by the command and
is counted and dropped.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_PARTS = 5  # of a buffer with one whole report, split at the nonce
_KEEP = 64 * 1024  # of an unfinished report; more than any path and value of TMOUT
_TRAPS = re.compile(rb"(?:trap -- (?:[^\0]*?) (?:DEBUG|ERR)\n)+\Z")
_HEAD = re.compile(rb" (\d+) (x?)(\d+) (\S*) ")


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """One report: the end of a command.

    `repeat` numbers those that were asked for again from 1. A `torn` one found that the command
    never came to its end: it was interrupted, or never read.
    """

    exit_code: int
    flags: str
    cwd: str
    idle_limit: str
    traps: bytes
    repeat: int
    torn: bool


class StatusParser:
    """Feed it what arrives; it returns the reports of the awaited command, in order."""

    def __init__(self) -> None:
        self._buffer = b""
        self._nonce = b""
        self.discarded = 0  # bytes that were no report of ours, since `expect`

    def expect(self, nonce: bytes) -> None:
        """Await this command's reports from now on. What is unread is kept: it may be its own."""
        self._nonce = nonce
        self.discarded = 0

    def feed(self, data: bytes) -> list[StatusRecord]:
        """Return the reports completed by this data."""
        self._buffer += data
        records = []
        while (record := self._next()) is not None:
            records.append(record)
        if len(self._buffer) > _KEEP:
            self._drop(len(self._buffer) - _KEEP)
        return records

    def drain(self) -> None:
        """Count and drop what is left: nothing is awaited any more."""
        self._drop(len(self._buffer))

    def _next(self) -> StatusRecord | None:
        while self._nonce:
            parts = self._buffer.split(self._nonce, _PARTS - 1)
            if len(parts) < _PARTS or not parts[-1].startswith(b"\n"):
                return None
            before, head, cwd, idle_limit, rest = parts
            self._buffer = rest[1:]
            match = _HEAD.fullmatch(head)
            if match is not None:
                return StatusRecord(
                    exit_code=int(match[3]),
                    flags=match[4].decode("ascii", "replace"),
                    cwd=os.fsdecode(cwd),
                    idle_limit=idle_limit.decode("ascii", "replace"),
                    traps=self._traps(before),
                    repeat=int(match[1]),
                    torn=bool(match[2]),
                )
            self.discarded += sum(map(len, parts[:-1]))
        return None

    def _traps(self, before: bytes) -> bytes:
        found = _TRAPS.search(before)
        traps = found.group() if found else b""
        self.discarded += len(before) - len(traps)
        return traps

    def _drop(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self.discarded += size
