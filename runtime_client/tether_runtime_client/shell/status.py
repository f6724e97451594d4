"""Reads the shell's reports from the status channel. Pure: bytes in, records out.

A report is one line, `NONCE repeat [x]$? $- NONCE $PWD NONCE $TMOUT NONCE $_ NONCE` (the spaces
around the last ones are not there, `$_` only where it was saved), with the traps that
`trap -p DEBUG ERR INT` prints before it. The nonce is fresh and random for every command. Anything
else on the channel was written by the command and is counted and dropped.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_PARTS = 5  # nothing, $PWD, $TMOUT, $_ and what follows, between the nonces
_KEEP = 64 * 1024  # of an unfinished report; more than any path and value of TMOUT and $_
# What a trap does is quoted as one word. A pattern that could try an end at any place would take
# seconds for what a hostile command can leave here.
_ACTION = rb"trap -- (?:'(?:[^'\0]|'\\'')*'|\$'(?:[^'\0\\]|\\.)*') "
_TRAP = re.compile(rb"%b(?:DEBUG|ERR)\n" % _ACTION)
_TRAPS = re.compile(rb"(?:%b)+" % _TRAP.pattern)
_INT_TRAP = re.compile(rb"%b(?:SIG)?INT\n\Z" % _ACTION)
_NO_TRAP = re.compile(rb"trap -- - (?:DEBUG|ERR|INT)\n")  # told in POSIX mode
# Also a trap that is told the nonce can report nothing but what a shell could.
_HEAD = re.compile(rb" (\d{1,9}) (x?)(25[0-5]|2[0-4]\d|1?\d{1,2}) (\S*) ")


class StatusRecord(NamedTuple):
    """One report: the end of a command.

    `repeat` numbers those that were asked for again from 1. A `torn` one found that the command
    never came to its end: it was interrupted, abandoned after an error, or never read. `traps` are
    those on DEBUG and ERR, as shell text that sets them; `catches` says that there is one on INT.
    """

    exit_code: int
    flags: str
    cwd: str
    idle_limit: str
    traps: bytes
    repeat: int
    torn: bool
    last_word: str = ""
    catches: bool = False


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
        while self._buffer and (record := self._next()) is not None:
            records.append(record)
        if len(self._buffer) > _KEEP:
            self._drop(len(self._buffer) - _KEEP)
        return records

    def drain(self) -> None:
        """Count and drop what is left: nothing is awaited any more."""
        self._drop(len(self._buffer))

    def _next(self) -> StatusRecord | None:
        """Look for the nonce and what must follow it. A trap's trace may hold the nonce too."""
        start = self._buffer.find(self._nonce) if self._nonce else -1
        while start >= 0:
            head = _HEAD.match(self._buffer, start + len(self._nonce))
            if head is not None:
                return self._record(start, head)
            start = self._buffer.find(self._nonce, start + 1)
        return None

    def _record(self, start: int, head: re.Match[bytes]) -> StatusRecord | None:
        parts = self._buffer[head.end() :].split(self._nonce, _PARTS - 1)
        if len(parts) < _PARTS or not parts[-1].startswith(b"\n"):
            return None
        traps, catches = self._traps(self._buffer[:start])
        self._buffer = parts[-1][1:]
        return StatusRecord(
            exit_code=int(head[3]),
            flags=head[4].decode("ascii", "replace"),
            cwd=os.fsdecode(parts[1]),
            idle_limit=parts[2].decode("ascii", "replace"),
            traps=traps,
            repeat=int(head[1]),
            torn=bool(head[2]),
            last_word=os.fsdecode(parts[3]),
            catches=catches,
        )

    def _traps(self, before: bytes) -> tuple[bytes, bool]:
        if not before:
            return b"", False
        before, count = _INT_TRAP.subn(b"", _NO_TRAP.sub(b"", before))
        found = _TRAPS.findall(before)
        self.discarded += len(before) - sum(map(len, found))
        # A function named `trap` is not what sets them again.
        return _TRAP.sub(rb"\\builtin \g<0>", found[-1]) if found else b"", count > 0

    def _drop(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self.discarded += size
