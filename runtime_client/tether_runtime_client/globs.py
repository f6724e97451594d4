"""Globs, in the language of .gitignore files and with braces, as regular expressions.

`*` and `?` stand for anything but a slash, `[a-z]` and `[!a-z]` for one character, `**` as a whole
part of the path for any number of folders. No glob takes for ever, whatever it is held against:
what is between two stars is looked for once, at the first place that fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_GLOBS = 1_000
"""The most globs that braces may stand for, all that are given together."""

_FOLDERS = "(?:[^/]+/)*"


class GlobError(ValueError):
    """A glob that means nothing. The message says why."""


class Globs:
    """Any of some globs. One without a slash is about the name, wherever it is; one with a slash
    about the path from the folder that is searched; one that ends in a slash is about folders
    alone. No globs match nothing.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        """Raises GlobError."""
        expanded = [each for given in globs for each in expand(given)]
        if len(expanded) > MAX_GLOBS:
            raise GlobError(f"the globs stand for more than {MAX_GLOBS:,} globs")
        self._any = _AnyOf(glob for glob in expanded if not glob.endswith("/"))
        self._folders = _AnyOf(glob for glob in expanded if glob.endswith("/"))

    def match(self, path: str, name: str, *, folder: bool) -> bool:
        """Whether one of them stands for this path, whose last part is `name`."""
        return self._any.match(path, name) or (folder and self._folders.match(path, name))


class _AnyOf:
    """Some globs as one expression for names and one for paths."""

    def __init__(self, globs: Iterable[str]) -> None:
        names: list[str] = []
        paths: list[str] = []
        for glob in globs:
            (paths if "/" in glob.rstrip("/") else names).append(to_regex(glob.strip("/")))
        self._names = re.compile("|".join(names), re.DOTALL) if names else None
        self._paths = re.compile("|".join(paths), re.DOTALL) if paths else None

    def match(self, path: str, name: str) -> bool:
        if self._names is not None and self._names.fullmatch(name):
            return True
        return self._paths is not None and self._paths.fullmatch(path) is not None


def expand(glob: str) -> list[str]:
    """`a.{b,c}` as `a.b` and `a.c`; braces may be in braces. Raises GlobError."""
    done: list[str] = []
    waiting = [glob]
    while waiting:
        if len(done) + len(waiting) > MAX_GLOBS:
            raise GlobError(f"{glob!r} stands for more than {MAX_GLOBS:,} globs")
        text = waiting.pop()
        inner = re.search(r"(?<!\\)\{([^{}]*,[^{}]*)\}", text)
        if inner is None:
            done.append(text)
        else:
            before, after = text[: inner.start()], text[inner.end() :]
            waiting += [f"{before}{choice}{after}" for choice in inner[1].split(",")]
    return done


def to_regex(glob: str) -> str:
    """What matches all of a path without a slash in front, when all of it has to match."""
    first, *others = _between_folders(glob)
    if not others:
        return f"(?:{'/'.join(first)})"
    *middle, last = others
    start = "".join(f"{name}/" for name in first)
    between = "".join(f"(?>{_FOLDERS}?{'/'.join(names)}/)" for names in middle if names)
    end = _FOLDERS + "/".join(last) if last else ".+"
    return f"(?:{start}{between}{end})"


def _between_folders(glob: str) -> list[list[str]]:
    """The names of a path, each as an expression, in runs: between two is any number of folders."""
    runs: list[list[str]] = [[]]
    for part in glob.split("/"):
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(name_regex(part))
    return runs


def name_regex(part: str) -> str:
    """What matches one name of a path, when all of it has to match."""
    first, *others = _between_stars(part)
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece) + f"[^/]*{last}"


def _between_stars(part: str) -> list[str]:
    pieces = [""]
    for piece in _pieces(part):
        if piece == "*":
            pieces.append("")
        else:
            pieces[-1] += piece
    return pieces


def _pieces(part: str) -> Iterator[str]:
    """Each sign as an expression; `*` as it is."""
    at = 0
    while at < len(part):
        sign, at = part[at], at + 1
        if sign == "*":
            yield sign
        elif sign == "?":
            yield "[^/]"
        elif sign == "[" and (found := _set(part, at)):
            text, at = found
            yield text
        elif sign == "\\" and at < len(part):
            yield re.escape(part[at])
            at += 1
        else:
            yield re.escape(sign)


_SET = re.compile(r"([!^]?)((?:\\.|(?!\A)[^\]\\]|\])(?:\\.|[^\]\\])*)\]", re.DOTALL)


def _set(part: str, at: int) -> tuple[str, int] | None:
    """The characters between brackets, and where the glob goes on; None without a closing one."""
    found = _SET.match(part, at)
    if found is None:
        return None
    members = "".join(_members(found[2]))
    if not members:
        return ("[^/]" if found[1] else r"(?!)"), found.end()
    return f"(?!/)[{'^' if found[1] else ''}{members}]", found.end()


def _members(text: str) -> Iterator[str]:
    signs = re.findall(r"\\.|[^\\]", text, re.DOTALL)
    at = 0
    while at < len(signs):
        first = signs[at][-1]
        if at + 2 < len(signs) and signs[at + 1] == "-":
            last = signs[at + 2][-1]
            if first <= last:
                yield f"{re.escape(first)}-{re.escape(last)}"
            at += 3
        else:
            yield re.escape(first)
            at += 1
