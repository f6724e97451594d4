"""Skills that find files, and text in them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from .text_files import existing_file, existing_folder, is_binary, read_lines, shown
from .viewing import opened

__all__ = ["find_file", "search_dir", "search_file"]

MOST = 100
"""Matches that are printed."""


def search_file(search_term: str, path: str | None = None) -> None:
    """Print the lines of a file that contain a text, with their numbers.

    Args:
        search_term: the text, exactly as it stands in a line.
        path: the file; the open one where none is named.
    """
    place = existing_file(path if path is not None else opened().path)
    found = (f"{number}|{line}" for number, line in _matches(place, search_term))
    _print_found(found, f"{search_term!r} in {place}")


def search_dir(search_term: str, dir_path: str = ".") -> None:
    """Print where a text is in the files of a folder and of those below it.

    Hidden files and folders, and files that are no text, are left out.

    Args:
        search_term: the text, exactly as it stands in a line.
        dir_path: the folder.
    """
    folder = existing_folder(dir_path)
    found = (
        f"{path}:{number}|{line}"
        for path in _files_below(folder)
        for number, line in _readable_matches(path, search_term)
    )
    _print_found(found, f"{search_term!r} in {folder}")


def find_file(file_name: str, dir_path: str = ".") -> None:
    """Print the files of a folder, and of those below it, that have a name.

    Args:
        file_name: the name or a part of it; with * ? or [ a pattern for the whole name.
        dir_path: the folder.
    """
    folder = existing_folder(dir_path)
    pattern = file_name if any(c in file_name for c in "*?[") else f"*{file_name}*"
    names = (str(p) for p in _files_below(folder) if fnmatch.fnmatch(p.name, pattern))
    _print_found(names, f"files named {file_name!r} in {folder}")


def _matches(path: Path, text: str) -> Iterator[tuple[int, str]]:
    if not text or "\n" in text:
        raise ValueError("search_term has to be a text within one line")
    for number, line in enumerate(read_lines(path), 1):
        if text in line:
            yield number, shown(line)


def _readable_matches(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """None in what is no text, and in what this user may not read."""
    try:
        if not is_binary(path):
            yield from _matches(path, text)
    except OSError:
        return


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files, hidden ones left out, in the order of their paths."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _print_found(found: Iterable[str], what: str) -> None:
    """The first ones; those beyond are only counted where that is quick."""
    lines = list(islice(found, MOST + 1))
    if not lines:
        print(f"[Nothing found: {what}]")
        return
    print(f"[Found: {what}]")
    print("\n".join(lines[:MOST]))
    if len(lines) > MOST:
        print(f"[There are more than {MOST}: search for something longer, or in a smaller place]")
