"""Listing a directory, sorted, a page at a time."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import islice

from ..inode import FileType, type_of
from ..search.walk import Found, Walk
from .errors import NotADirectory, about

MAX_ENTRIES = 10_000
"""The most entries of one page."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. `path` is relative to the directory that was listed, `target` is a link's text.

    `size` in bytes, `mode` without the type bits, `mtime_ns` in nanoseconds since 1970. A link's
    attributes are its own, not its target's.
    """

    path: str
    type: FileType
    size: int
    mode: int
    mtime_ns: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of entries; ask again from `next_offset` while it is not None.

    `unreadable` names what could not be looked into, a hundred at most.
    """

    path: str
    entries: tuple[Entry, ...]
    next_offset: int | None
    unreadable: tuple[str, ...] = ()


def list_directory(
    path: str, *, recursive: bool = False, offset: int = 0, limit: int = 1_000
) -> Listing:
    """List a directory by name in the order of bytes; `recursive`: each one's content after it.

    A link at `path` is followed, links below are not, and file systems that the kernel makes up
    (/proc) are not entered unless `path` is in one. What vanishes meanwhile is left out. Pages are
    of the directory as it is at each call. Raises a FileOperationError.
    """
    limit = min(limit, MAX_ENTRIES)
    with about(path):
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectory(path, f"{path} is no directory")
        walk = Walk(path, max_depth=None if recursive else 1)
        page = list(islice(walk, offset, offset + limit + 1))
    entries = tuple(_entry(walk, found) for found in page[:limit])
    more = offset + limit if len(page) > limit else None
    return Listing(path, entries, more, tuple(walk.unreadable))


def _entry(walk: Walk, found: Found) -> Entry:
    attributes = found.attributes
    return Entry(
        path=found.path,
        type=type_of(attributes),
        size=attributes.st_size,
        mode=stat.S_IMODE(attributes.st_mode),
        mtime_ns=attributes.st_mtime_ns,
        target=walk.target(found),
    )
