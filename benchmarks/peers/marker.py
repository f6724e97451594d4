"""Finding the end of a command in the output of a kept shell, as simply as is fair.

A line after the command prints a random word and the status. The word is always the last thing
that comes, so only the end of what has come is looked at: reading stays linear. (A background
job's output behind it would be missed, and a command can print the word itself.)
"""

from __future__ import annotations

import re
import secrets

BASH = ("bash", "--norc", "--noprofile")
QUIET = "stty -echo -opost; PS1= PS2=; unset HISTFILE"
"""The first command where there is a terminal, so that it carries only what programs write."""

_LONGEST = 32


class Marked:
    """One shell's commands and their ends."""

    def __init__(self) -> None:
        self._word = secrets.token_hex(8)
        self._end = re.compile(rf"\n{self._word}:(\d+);$".encode())
        self._size = 0
        self._tail = b""
        self._chunks: list[bytes] = []

    def line(self, command: str) -> bytes:
        """What to write to the shell."""
        return f"{command}\nprintf '\\n%s:%d;' {self._word} $?\n".encode()

    def feed(self, data: bytes) -> int | None:
        """Take output; returns the number of bytes the command wrote once it has ended.

        Raises `RuntimeError` when its status is not 0.
        """
        self._size += len(data)
        self._chunks.append(data)
        self._tail = (self._tail + data[-_LONGEST:])[-_LONGEST:]
        found = self._end.search(self._tail)
        if found is None:
            return None
        size, self._size, self._tail = self._size - len(found[0]), 0, b""
        b"".join(self._chunks)  # a user wants the output in one piece
        self._chunks.clear()
        if found[1] != b"0":
            raise RuntimeError(f"the command ended with {found[1].decode()}")
        return size
