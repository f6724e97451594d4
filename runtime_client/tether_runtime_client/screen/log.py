"""The byte log that a command's screen and keyboard are read from."""

from __future__ import annotations

from typing import Protocol


class Log(Protocol):
    """What a command has written to its terminal."""

    total: int
    """How many bytes that is."""

    def tail(self, offset: int, limit: int, /) -> tuple[int, bytes]:
        """The bytes from `offset` on, the last `limit` at most, and where the first of them is."""
