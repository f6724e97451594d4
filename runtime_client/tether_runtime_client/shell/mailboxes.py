"""Where a shell notes what outlives it, and what may intercept a program: two files, in turns."""

from __future__ import annotations

import os
import re
import resource

from .exports import parse_exports
from .inert import programs
from .reports import NO_MAILBOX, ReportTo

_LIMIT = 8 * 1024 * 1024  # more than a program can be started with
_MOST_ASKED = 16
_FIRST = 4  # reports: on the setup, the startup files, what is restored, and a first command
_LIMITS_FILES = re.compile(r"\bulimit\s+(?:-[SH]+\s+)?-?[SH]*[f0-9]")


class Mailboxes:
    """A report overwrites the older one, so there is always one that is whole.

    Call `next_for` before a command is sent, and `reported` when its report has come. `fds` are
    the descriptors that the shell is handed.
    """

    def __init__(self) -> None:
        self.fds = tuple(os.memfd_create(f"tether-{n}") for n in range(2))
        self._last: list[ReportTo] = []  # the last two reports, newest last
        self._limited = False
        self._reports = 0
        self.had: set[str] = set()  # names of variables that were exported at the shell's begin
        self._programs: frozenset[bytes] | None = None  # by the last report, once it was read
        self.asked: tuple[bytes, ...] = (b":",)  # the names that the next report is to tell of

    def next_for(self, text: str) -> int:
        """The number of the one that the report on this command overwrites.

        None (NO_MAILBOX) where files are limited, or may be from this command on: what is exported
        is not known then, and the shell lives.
        """
        if self._limited or ("ulimit" in text and _LIMITS_FILES.search(text)):
            return NO_MAILBOX
        number = 1 - self._last[-1].mailbox if self._last else 0
        os.lseek(self.fds[number], 0, os.SEEK_SET)  # the shell has the same open file
        return number

    def reported(self, to: ReportTo, pid: int) -> None:
        """The report of the shell `pid` has come; what it notes follows, or has."""
        self._programs = None
        self._reports += 1
        if self._reports <= _FIRST:  # the one before is whole by now
            self.had |= (self.exports() or {}).keys()
        if to.mailbox != NO_MAILBOX:
            self._last = [*self._last[-1:], to]
        else:
            self._limited = _limits_files(pid)

    def is_program(self, name: str) -> bool:
        """Whether nothing but a program is run by this name, for all that is known.

        Where it is not known, the next report is asked for it.
        """
        if self._limited or not self._last:
            return False
        if self._programs is None:
            noted = self._read(self._last[-1])
            self._programs = programs(self._last[-1].asked, noted[1]) if noted is not None else None
        word = name.encode()
        if self._programs is not None and word in self._programs:
            return True
        if word not in self.asked:
            self.asked = (*self.asked[1 - _MOST_ASKED :], word)
        return False

    @property
    def settled(self) -> bool:
        """Whether the variables of the last report are here."""
        return not self._last or self._read(self._last[-1]) is not None

    def exports(self) -> dict[str, str] | None:
        """The exported variables as of the last report that is whole; None where none is."""
        for to in reversed(self._last):
            noted = self._read(to)
            if noted is not None:
                return parse_exports(noted[0])
        return None

    def _read(self, to: ReportTo) -> tuple[bytes, bytes] | None:
        """The exported variables of this report, and the functions, aliases and traps, as the shell
        prints them; None if not all of it is there.
        """
        # A command can make the file as long as it likes.
        fd = self.fds[to.mailbox]
        parts = os.pread(fd, min(_LIMIT, os.fstat(fd).st_size), 0).split(to.nonce + b"\n", 2)
        return (parts[0], parts[1]) if len(parts) > 2 else None

    def close(self) -> None:
        """Free the files. Once only."""
        for fd in self.fds:
            os.close(fd)


def _limits_files(pid: int) -> bool:
    """Whether files may be so short only that to write to a mailbox can be the shell's end."""
    try:
        return 0 <= resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] < _LIMIT
    except OSError:
        return False
