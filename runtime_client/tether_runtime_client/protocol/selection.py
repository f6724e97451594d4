"""Which names of a tree are copied: glob patterns, in the way of `.gitignore`.

What a name in a pattern stands for is told in `globs`; `**` is any number of folders. A pattern
without a slash matches a name at any depth; one with a slash, at its beginning or within, counts
from the tree's top. A slash at its end makes it match folders only. What matches stands for all
below it too. Braces are ordinary letters here, as they are to git.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..globs import name_regex

Way = tuple[str, ...]
"""The names from the tree's top to something in it."""

_ANY_FOLDERS: Final = None
_Part = re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class _Pattern:
    parts: tuple[_Part, ...]
    folders_only: bool

    def matches(self, way: Way, *, folder: bool) -> bool:
        return (folder or not self.folders_only) and _whole(self.parts, way)


class Selection:
    """Include and exclude patterns; what is excluded stays out, also where it is included."""

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        """Raises ValueError for a pattern that can match nothing."""
        self._include = [_compiled(pattern) for pattern in include]
        self._exclude = [_compiled(pattern) for pattern in exclude]

    @property
    def chooses(self) -> bool:
        """Whether only what is included comes; else everything that is not excluded does."""
        return bool(self._include)

    def excludes(self, way: Way, *, folder: bool) -> bool:
        """Whether it is left out, with all below it."""
        return any(pattern.matches(way, folder=folder) for pattern in self._exclude)

    def includes(self, way: Way, *, folder: bool) -> bool:
        """Whether it is asked for, with all below it."""
        return not self._include or any(p.matches(way, folder=folder) for p in self._include)

    def may_include_below(self, way: Way) -> bool:
        """Whether it is worth looking into that folder."""
        return not self._include or any(_begins(p.parts, way) for p in self._include)


EVERYTHING: Final = Selection()


def _compiled(pattern: str) -> _Pattern:
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    if not names or ".." in names or "\0" in pattern:
        raise ValueError(f"the pattern {pattern!r} can match nothing in a tree")
    parts: list[_Part] = [_part(name) for name in names]
    if "/" not in pattern.rstrip("/"):
        parts.insert(0, _ANY_FOLDERS)
    return _Pattern(tuple(parts), pattern.endswith("/"))


def _part(name: str) -> _Part:
    return _ANY_FOLDERS if name == "**" else re.compile(name_regex(name), re.DOTALL)


def _whole(parts: Sequence[_Part], way: Way) -> bool:
    """Whether the parts match all of the way: every position is looked at once for each part."""
    reached = {0}
    for part in parts:
        if part is _ANY_FOLDERS:
            reached = set(range(min(reached), len(way) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(way) and part.fullmatch(way[at])}
        if not reached:
            return False
    return len(way) in reached


def _begins(parts: Sequence[_Part], way: Way) -> bool:
    """Whether the parts could match something below the way."""
    for at, part in enumerate(parts):
        if part is _ANY_FOLDERS or at == len(way):
            return True
        if not part.fullmatch(way[at]):
            return False
    return False
