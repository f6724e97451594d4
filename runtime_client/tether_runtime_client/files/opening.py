"""Opening an ordinary file, and nothing that might block or never end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .errors import IsADirectory, NotAFile, about


@contextmanager
def open_file(path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open an ordinary file for reading, unbuffered, with its attributes.

    Raises a FileOperationError, also for what goes wrong inside the block.
    """
    with about(path):
        # Without O_NONBLOCK, opening a named pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            check_ordinary(path, found)
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                yield file, found
        finally:
            os.close(descriptor)


def check_ordinary(path: str, found: os.stat_result) -> None:
    """Raise IsADirectory or NotAFile for what is no ordinary file."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectory(path, f"{path} is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile(path, f"{path} is a device, pipe or socket, and no ordinary file")


def pieces(file: BinaryIO, limit: int | None = None) -> Iterator[bytes]:
    """The content from here on in pieces of up to 1 MiB, at most `limit` bytes."""
    size = 1024 * 1024
    while limit is None or limit > 0:
        data = file.read(size if limit is None else min(size, limit))
        if not data:
            return
        if limit is not None:
            limit -= len(data)
        yield data
