"""Finding files by name, type, size, time and depth."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

from ..globs import Globs
from ..inode import type_of
from .page import Page
from .walk import Found, Walk


@dataclass(frozen=True, slots=True)
class Find:
    """What to find. Sizes are bytes and of files alone, times seconds since 1970; None and empty
    tuples stand for anything.
    """

    path: str
    globs: tuple[str, ...]
    exclude: tuple[str, ...]
    types: tuple[str, ...]
    min_size: int | None
    max_size: int | None
    modified_after: float | None
    modified_before: float | None
    min_depth: int
    max_depth: int | None
    ignore: bool
    offset: int
    limit: int


class Finding:
    """One search for files. `run` may be left with any exception: `result` has what there is."""

    def __init__(self, wanted: Find) -> None:
        self._wanted = wanted
        self._globs = Globs(wanted.globs) if wanted.globs else None
        self._walk = Walk(
            wanted.path,
            ignore=wanted.ignore,
            exclude=Globs(wanted.exclude) if wanted.exclude else None,
            max_depth=wanted.max_depth,
        )
        self._page = Page(wanted.offset, wanted.limit)

    def run(self) -> None:
        """Walk until the page is full. Raises OSError for the top alone."""
        for found in self._walk:
            if not self._matches(found):
                continue
            if self._page.passes_over:
                self._page.skip()
            elif not self._page.add(self._item(found)):
                return

    def result(self) -> dict[str, Any]:
        """The page."""
        return {
            "entries": self._page.items,
            "next_offset": self._page.next_offset,
            "unreadable": self._walk.unreadable,
        }

    def _matches(self, found: Found) -> bool:
        wanted, attributes = self._wanted, found.attributes
        if found.depth < wanted.min_depth:
            return False
        if self._globs is not None and not found.matches(self._globs):
            return False
        if wanted.types and type_of(attributes) not in wanted.types:
            return False
        return self._has_size(attributes) and self._has_time(attributes.st_mtime)

    def _has_size(self, attributes: os.stat_result) -> bool:
        low, high = self._wanted.min_size, self._wanted.max_size
        if low is None and high is None:
            return True
        size = attributes.st_size
        in_bounds = (low is None or size >= low) and (high is None or size <= high)
        return in_bounds and stat.S_ISREG(attributes.st_mode)

    def _has_time(self, time: float) -> bool:
        after, before = self._wanted.modified_after, self._wanted.modified_before
        return (after is None or time >= after) and (before is None or time < before)

    def _item(self, found: Found) -> dict[str, Any]:
        attributes = found.attributes
        return {
            "path": found.path,
            "type": type_of(attributes),
            "size": attributes.st_size,
            "mode": stat.S_IMODE(attributes.st_mode),
            "modified": attributes.st_mtime,
            "target": self._walk.target(found),
        }
