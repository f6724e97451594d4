r"""Reads the shell's reports from the status channel. Pure: bytes in, records out.

A report is `\0 NONCE \0 repeat \0 $? \0 $- \0 $PWD \0 $TMOUT \0`, with the traps that
`trap -p DEBUG ERR` prints before it. The nonce is fresh and random for every command. Anything
else on the channel was written by the command and is counted and dropped.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_FIELDS = 5  # after the nonce
_KEEP = 64 * 1024  # of an unfinished report; more than any path and value of TMOUT
_TRAPS = re.compile(rb"(?:trap -- (?:[^\0]*?) (?:DEBUG|ERR)\n)+\Z")


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """One report: the end of a command. `repeat` numbers those sent after interrupts from 1."""

    exit_code: int
    flags: str
    cwd: str
    idle_limit: str
    traps: bytes
    repeat: int


class StatusParser:
    """Feed it what arrives; it returns the reports of the awaited command, in order."""

    def __init__(self) -> None:
        self._buffer = b""
        self._nonce = b""
        self.discarded = 0  # bytes that were no report of ours, since `expect`

    def expect(self, nonce: bytes) -> None:
        """Await this command's reports from now on. What is unread is kept: it may be its own."""
        self._nonce = b"\0" + nonce + b"\0"
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
        start = self._buffer.find(self._nonce) if self._nonce else -1
        if start < 0:
            return None
        fields = self._buffer[start + len(self._nonce) :].split(b"\0", _FIELDS)
        if len(fields) <= _FIELDS:
            return None
        before, self._buffer = self._buffer[:start], fields[_FIELDS]
        return self._record(before, fields)

    def _record(self, before: bytes, fields: list[bytes]) -> StatusRecord | None:
        repeat, code, flags, cwd, idle_limit = fields[:_FIELDS]
        found = _TRAPS.search(before)
        traps = found.group() if found else b""
        self.discarded += len(before) - len(traps)
        if not (code.isdigit() and repeat.isdigit()):
            self.discarded += sum(map(len, fields[:_FIELDS]))
            return self._next()
        return StatusRecord(
            exit_code=int(code),
            flags=flags.decode("ascii", "replace"),
            cwd=os.fsdecode(cwd),
            idle_limit=idle_limit.decode("ascii", "replace"),
            traps=traps,
            repeat=int(repeat),
        )

    def _drop(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self.discarded += size
