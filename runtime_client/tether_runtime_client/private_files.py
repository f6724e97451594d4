"""Small files of ours, where what runs as our own user may have put something in their place.

A pipe is not waited for, a link is not followed, and nothing is read that is longer than ours are.
"""

from __future__ import annotations

import os
import stat

LIMIT = 1024 * 1024
"""The most bytes that are read."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_small(path: str | os.PathLike[str], limit: int = LIMIT) -> bytes:
    """All of an ordinary file; raises OSError, also for what is none or is longer."""
    descriptor = os.open(path, _READ)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise OSError(f"{os.fspath(path)} is no ordinary file of at most {limit:,} bytes")
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def write_small(path: str | os.PathLike[str], data: bytes) -> None:
    """Make or replace what is in it; raises OSError."""
    descriptor = os.open(path, _WRITE, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
