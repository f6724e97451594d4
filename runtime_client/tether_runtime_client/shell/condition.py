"""What the kernel tells of a shell: what it does, what it is by now, and where."""

from __future__ import annotations

import os
import resource

from ..proctree import read_process


class Condition:
    """Of the process `pid`, looked at anew by each call.

    `channel` and `reports` are the inodes of its standard input between commands and of its
    standard output amid a report.
    """

    def __init__(self, pid: int, channel: int, reports: int) -> None:
        self._pid = pid
        self._channel = channel
        self._reports = reports
        self.image: int | None = None
        """What `is_replaced` goes by; None before it is known."""

    def note_image(self) -> None:
        """Call it once bash has said something: for a moment after its start, which ptyprocess
        takes to be over, it has no stack yet, and would seem to be replaced ever after.
        """
        info = read_process(self._pid)
        self.image = info.image if info is not None else None

    def is_replaced(self) -> bool:
        """Whether the process is alive but no longer the bash that was started (`exec`)."""
        info = read_process(self._pid)
        if info is None or self.image is None:
            return False
        return info.image != self.image

    def sleeps(self) -> bool:
        """Whether it waits for something."""
        info = read_process(self._pid)
        return info is not None and info.state == "S"

    def sleeps_between_commands(self) -> bool:
        """Whether bash waits for a line, or for the end of what its prompt runs."""
        return self.sleeps() and self.is_between_commands()

    def is_between_commands(self) -> bool:
        """Whether no command has begun: while one runs, its standard input is not the channel."""
        return self._has(0, self._channel)

    def sleeps_in_report(self) -> bool:
        """Whether bash waits for something while its standard output is the status channel."""
        return self.sleeps() and self._has(1, self._reports)

    def _has(self, fd: int, inode: int) -> bool:
        try:
            return os.stat(f"/proc/{self._pid}/fd/{fd}").st_ino == inode
        except OSError:
            return False

    def cannot_redirect(self) -> bool:
        """Whether it may open so few files that it cannot have its channel back after a command:
        it would take what is typed for its commands.
        """
        try:
            return resource.prlimit(self._pid, resource.RLIMIT_NOFILE)[0] in (0, 1, 2)
        except OSError:
            return False

    def true_cwd(self, reported: str, last: str) -> str:
        """$PWD, which keeps symbolic links, unless it is not where the shell is."""
        if reported == last:
            return reported
        if reported.startswith("/") and _same_file(reported, f"/proc/{self._pid}/cwd"):
            return reported
        try:
            return os.readlink(f"/proc/{self._pid}/cwd").removesuffix(" (deleted)")
        except OSError:  # not shown
            return reported or last


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
