"""Text files as the skills read and write them: by lines, with every byte kept.

Nothing here is a skill: the skills are in the modules beside it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

LONGEST_LINE = 2_000
"""Characters of a line that are shown."""

MOST_EDITED = 64 * 1024 * 1024
"""Bytes of a file that is edited: it is read whole for that."""


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a regular file; raises an `OSError` or `ValueError` that says why not.

    Links are kept as they are named.
    """
    place = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {place}{_similar(place)}") from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{place} is a folder; find_file and search_dir look into those")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{place} is no regular file")
    return place


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a folder; raises an `OSError` that says why not."""
    place = Path(os.path.abspath(os.path.expanduser(path)))
    if not place.exists():
        raise FileNotFoundError(f"there is no folder {place}{_similar(place)}")
    if not place.is_dir():
        raise NotADirectoryError(f"{place} is no folder; search_file searches one file")
    return place


def _similar(place: Path) -> str:
    try:
        names = os.listdir(place.parent)
    except OSError:
        return f"; the folder {place.parent} is not there either" * (not place.parent.exists())
    near = get_close_matches(place.name, names, n=3)
    return f"; did you mean {' or '.join(str(place.parent / name) for name in near)}?" * bool(near)


def read_lines(path: Path) -> Iterator[str]:
    """Its lines, with their ends. What is no UTF-8 survives being written again."""
    file = open(path, encoding="utf-8", errors="surrogateescape", newline="\n")  # noqa: SIM115
    with closing(file):
        yield from file


def read_text(path: Path) -> str:
    """All of it; raises `ValueError` for a file that is too large to be edited so."""
    size = path.stat().st_size
    if size > MOST_EDITED:
        raise ValueError(
            f"{path} has {size:,} bytes, and {MOST_EDITED:,} is the most that is edited:"
            " change it by a program, such as sed"
        )
    return "".join(read_lines(path))


def write_text(path: Path, text: str) -> None:
    """In place, so that owner, mode and links stay."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)


def is_binary(path: Path) -> bool:
    """Whether its beginning has what no text has."""
    with open(path, "rb") as file:
        return b"\x00" in file.read(4096)


def shown(line: str) -> str:
    """A line as it can be printed: without its end, not too long, and all of it Unicode."""
    line = line.rstrip("\r\n")
    more = len(line) - LONGEST_LINE
    if more > 0:
        line = f"{line[:LONGEST_LINE]}... ({more:,} more characters)"
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
