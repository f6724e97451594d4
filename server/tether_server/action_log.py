"""Actions on their way into the history: one append each, so that sending one need not wait.

An action has to be safe before it is sent, and a database transaction takes as long as the whole
rest of the way. So its event is appended to a file first and goes into the database with the next
batch; whatever a dead server left in its file is moved there by the next one that claims the
history.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PATTERN = "actions-*.jsonl"


class ActionLog:
    """The file of one writer. Its name is the writer's, so that a fenced one harms nobody."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._path = folder / f"actions-{writer}.jsonl"
        self._file = -1
        self._size = 0

    def append(self, event: bytes) -> None:
        """Make one event safe: written, not fsynced.

        Raises `OSError` when the disk is full; half a line never stays.
        """
        if self._file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        line = event + b"\n"
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def clear(self) -> None:
        """Everything in it is in the database now."""
        if self._size:
            os.ftruncate(self._file, 0)
            self._size = 0

    def close(self) -> None:
        """Remove the file, which must be empty by now. Twice is safe."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._path.unlink(missing_ok=True)


def left_behind(folder: Path) -> list[bytes]:
    """The events that former writers had made safe and not moved; a torn last line is not one."""
    lines: list[bytes] = []
    for path in sorted(folder.glob(_PATTERN)):
        with suppress(FileNotFoundError):  # its writer has just moved all of it, and closed
            lines += path.read_bytes().split(b"\n")[:-1]
    return lines


def forget_left_behind(folder: Path) -> None:
    """They are in the database now."""
    for path in folder.glob(_PATTERN):
        path.unlink(missing_ok=True)
