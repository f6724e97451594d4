"""Holes of sparse files: found when a file is read, kept when it is written.

Between the two a hole is its length. To whoever reads a transfer it is a piece of `ZEROS`, which
is told from other bytes by identity: code that knows nothing of holes sees zeros.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from .limits import BULK_CHUNK

ZEROS: Final = bytes(BULK_CHUNK)
#: A smaller hole is sent as the zeros it reads as.
_LEAST: Final = 64 * 1024


def content(descriptor: int, found: os.stat_result, piece: int) -> Iterator[bytes | int]:
    """A file's content: bytes, at most `piece` at once, and the lengths of holes.

    It ends after `st_size` bytes, or earlier where the file got shorter meanwhile.
    """
    at = 0
    for hole, length in _holes(descriptor, found):
        for data in _bytes(descriptor, at, hole, piece):
            at += len(data)
            yield data
        if at < hole:
            return
        yield length
        at += length
    yield from _bytes(descriptor, at, found.st_size, piece)


def zeros(length: int) -> Iterator[memoryview]:
    """That many zeros, in pieces that `write` keeps as a hole."""
    while length > 0:
        piece = memoryview(ZEROS)[:length]
        length -= len(piece)
        yield piece


def write(descriptor: int, data: bytes | memoryview) -> bool:
    """Write all of it at the file's position; True for a hole, after which `end_here` ends it."""
    view = memoryview(data)
    if view.obj is ZEROS:
        os.lseek(descriptor, len(view), os.SEEK_CUR)
        return True
    while view:
        view = view[os.write(descriptor, view) :]
    return False


def end_here(descriptor: int) -> None:
    """Make the file as long as its position says: a hole at its end is not written."""
    os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))


def _bytes(descriptor: int, start: int, end: int, piece: int) -> Iterator[bytes]:
    while start < end:
        data = os.pread(descriptor, min(end - start, piece), start)
        if not data:
            return
        start += len(data)
        yield data


def _holes(descriptor: int, found: os.stat_result) -> Iterator[tuple[int, int]]:
    """Where holes begin, and how long they are."""
    at, size = 0, found.st_size
    if size < _LEAST or found.st_blocks * 512 >= size:
        return
    while at < size:
        start = _seek(descriptor, at, os.SEEK_HOLE)
        if start is None or start >= size:
            return
        data = _seek(descriptor, start, os.SEEK_DATA)
        at = size if data is None else min(data, size)
        if at - start >= _LEAST:
            yield start, at - start


def _seek(descriptor: int, at: int, what: int) -> int | None:
    """None where there is no more of it, or where the file system cannot tell."""
    try:
        return os.lseek(descriptor, at, what)
    except OSError as problem:
        if problem.errno in (errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise
