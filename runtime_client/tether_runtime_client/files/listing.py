"""Listing a directory, sorted, a page at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .errors import NotADirectory, about

EntryType = Literal["file", "directory", "symlink", "fifo", "socket", "device"]

MAX_ENTRIES = 10_000
"""The most entries of one page."""
_MAX_UNREADABLE = 100

_TYPES: dict[int, EntryType] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. `path` is relative to the directory that was listed, `target` is a link's text.

    `size` in bytes, `mode` without the type bits, `mtime_ns` in nanoseconds since 1970. A link's
    attributes are its own, not its target's.
    """

    path: str
    type: EntryType
    size: int
    mode: int
    mtime_ns: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of entries; ask again from `next_offset` while it is not None.

    `unreadable` names directories that could not be looked into, a hundred at most.
    """

    path: str
    entries: tuple[Entry, ...]
    next_offset: int | None
    unreadable: tuple[str, ...] = ()


def list_directory(
    path: str, *, recursive: bool = False, offset: int = 0, limit: int = 1_000
) -> Listing:
    """List a directory by name in the order of bytes; `recursive`: each one's content after it.

    A link at `path` is followed, links below are not. What vanishes meanwhile is left out. Pages
    are of the directory as it is at each call. Raises a FileOperationError.
    """
    limit = min(limit, MAX_ENTRIES)
    unreadable: list[str] = []
    with about(path):
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectory(path, f"{path} is no directory")
        names = _walk(path, "", recursive, unreadable)
        page = list(islice(names, offset, offset + limit + 1))
    entries = (_entry(path, name) for name in page[:limit])
    more = offset + limit if len(page) > limit else None
    return Listing(
        path, tuple(entry for entry in entries if entry is not None), more, tuple(unreadable)
    )


def _walk(top: str, relative: str, recursive: bool, unreadable: list[str]) -> Iterator[str]:
    """Names below `top`, without recursion of calls: trees may be deep."""
    waiting = [_names(top, relative, recursive)]
    while waiting:
        try:
            name, is_directory = next(waiting[-1])
        except StopIteration:
            waiting.pop()
            continue
        yield name
        if recursive and is_directory:
            try:
                waiting.append(_names(top, name, recursive))
            except OSError:
                if len(unreadable) < _MAX_UNREADABLE:
                    unreadable.append(name)


def _names(top: str, relative: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    with os.scandir(os.path.join(top, relative) if relative else top) as entries:
        found = [
            (entry.name, recursive and entry.is_dir(follow_symlinks=False)) for entry in entries
        ]
    found.sort(key=lambda entry: os.fsencode(entry[0]))
    return iter([(os.path.join(relative, name), is_dir) for name, is_dir in found])


def _entry(top: str, name: str) -> Entry | None:
    path = os.path.join(top, name)
    try:
        found = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    except OSError:  # gone, or in a directory that may be listed but not entered
        return None
    mode = stat.S_IMODE(found.st_mode)
    return Entry(name, type_of(found.st_mode), found.st_size, mode, found.st_mtime_ns, target)


def type_of(mode: int) -> EntryType:
    """The name of the type in a mode."""
    return _TYPES.get(stat.S_IFMT(mode), "device")
