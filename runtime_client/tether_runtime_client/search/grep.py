"""Searching the text of files, with ripgrep where there is one and without it where not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..globs import Globs
from .expression import Expression
from .hits import Hit
from .lines import is_binary, search_file
from .page import Page
from .ripgrep import Ripgrep, Unusable
from .walk import Walk

BATCHES = (16, 128, 1024, 4096)
"""How many files ripgrep gets at once: few at first, since the page may soon be full."""
MAX_ARGUMENTS = 256 * 1024
"""The most bytes of names among them."""


@dataclass(frozen=True, slots=True)
class Grep:
    """What to look for and where. `program`: ripgrep's path, None to do without."""

    path: str
    pattern: str
    fixed: bool
    ignore_case: bool
    globs: tuple[str, ...]
    exclude: tuple[str, ...]
    ignore: bool
    before: int
    after: int
    files_only: bool
    offset: int
    limit: int
    program: str | None
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    """A file to search: its path as it is told, and its place."""

    path: str
    place: str


@dataclass(slots=True)
class _Found:
    """What is in one file: the number of hits, and the hits themselves where they are told."""

    count: int = 0
    hits: list[Hit] = field(default_factory=list)


class Grepping:
    """One search. `run` may be left with any exception: `result` has what was found until then."""

    def __init__(self, wanted: Grep) -> None:
        self._wanted = wanted
        self._expression = Expression(
            wanted.pattern, fixed=wanted.fixed, ignore_case=wanted.ignore_case
        )
        self._globs = Globs(wanted.globs) if wanted.globs else None
        exclude = Globs(wanted.exclude) if wanted.exclude else None
        self._walk = Walk(wanted.path, ignore=wanted.ignore, exclude=exclude)
        self._page = Page(wanted.offset, wanted.limit)
        self._searched = 0
        context = (0, 0) if wanted.files_only else (wanted.before, wanted.after)
        self._before, self._after = context
        self._rg = self._ripgrep()
        self._why = "" if self._rg else "there is no ripgrep, or it cannot search for this"

    def run(self) -> None:
        """Search until the page is full. Raises OSError for the top alone."""
        for batch in self._batches():
            if not self._search(batch):
                return
            self._searched += len(batch)

    def result(self) -> dict[str, Any]:
        """The page."""
        items = self._page.items
        return {
            "matches": [] if self._wanted.files_only else items,
            "files": items if self._wanted.files_only else [],
            "next_offset": self._page.next_offset,
            "searched": self._searched,
            "engine": "python" if self._rg is None else "ripgrep",
            "engine_reason": self._why,
            "unreadable": self._walk.unreadable,
        }

    # --- which files

    def _files(self) -> Iterator[_File]:
        top = self._wanted.path
        if not stat.S_ISDIR(os.stat(top).st_mode):
            yield _one_file(top)
            return
        for found in self._walk:
            # What is empty has nothing to find, and what the kernel makes up looks empty.
            if not stat.S_ISREG(found.attributes.st_mode) or not found.attributes.st_size:
                continue
            if self._globs is None or found.matches(self._globs):
                place = self._walk.absolute(found.path)
                if os.access(place, os.R_OK):
                    yield _File(found.path, place)
                else:
                    self._walk.note(found.path)

    def _batches(self) -> Iterator[list[_File]]:
        batch: list[_File] = []
        size = number = 0
        for file in self._files():
            batch.append(file)
            size += len(os.fsencode(file.place)) + 1
            if len(batch) >= BATCHES[number] or size >= MAX_ARGUMENTS:
                yield batch
                batch, size, number = [], 0, min(number + 1, len(BATCHES) - 1)
        if batch:
            yield batch

    # --- one batch

    def _search(self, batch: list[_File]) -> bool:
        """Tell the hits in these files in order; False when no more are wanted."""
        found = self._with_ripgrep(batch)
        for file in batch:
            in_file = self._with_python(file) if found is None else found.get(file.place)
            if in_file is not None and not self._tell(file, in_file):
                return False
        return True

    def _with_ripgrep(self, batch: list[_File]) -> dict[str, _Found] | None:
        """The hits by place: all of them, or enough of the first ones. None: do without it."""
        if self._rg is None:
            return None
        places = [file.place for file in batch]
        try:
            found, whole = self._collect(self._rg.search(places))
            if not whole:  # too many, and in no order: the first ones are what is wanted
                found, _ = self._collect(self._rg.search(places, in_order=True))
        except Unusable as problem:
            self._rg, self._why = None, str(problem)
            return None
        return found

    def _collect(self, hits: Iterator[tuple[str, Hit]]) -> tuple[dict[str, _Found], bool]:
        found: dict[str, _Found] = {}
        binary: set[str] = set()
        count, enough = 0, self._page.wanted
        for place, hit in hits:
            if place in binary:
                continue
            if place not in found and is_binary(place):
                binary.add(place)
                continue
            count += place not in found if self._wanted.files_only else 1
            self._note(found.setdefault(place, _Found()), hit)
            if count > enough:
                return found, False
        return found, True

    def _with_python(self, file: _File) -> _Found:
        found, enough = _Found(), self._page.wanted
        try:
            for hit in search_file(file.place, self._expression, self._before, self._after):
                self._note(found, hit)
                if not self._wanted.files_only and found.count > enough:
                    break
        except OSError:  # gone, or not readable after all
            self._walk.note(file.path)
        return found

    def _note(self, found: _Found, hit: Hit) -> None:
        found.count += 1
        if not self._wanted.files_only:
            found.hits.append(hit)

    def _tell(self, file: _File, found: _Found) -> bool:
        """Put it on the page; False when that is full."""
        if self._wanted.files_only:
            item = {"path": file.path, "matches": found.count}
            return not found.count or self._page.add(item)
        return all(self._page.add(hit.item(file.path)) for hit in found.hits)

    def _ripgrep(self) -> Ripgrep | None:
        wanted = self._wanted
        if wanted.program is None or self._expression.wider is None:
            return None
        return Ripgrep(
            wanted.program, wanted.environment, self._expression, self._before, self._after
        )


def _one_file(path: str) -> _File:
    """The file that was named. Raises OSError for what is none, or may not be read."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.ENXIO, "not an ordinary file", path)
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return _File(os.path.basename(path), os.path.realpath(path))
