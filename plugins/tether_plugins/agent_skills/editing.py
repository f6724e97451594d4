"""Skills that make and change files. Each prints the lines around what it changed."""

from __future__ import annotations

import io
import os
from difflib import get_close_matches
from pathlib import Path

from .text_files import existing_file, read_text, shown, write_text
from .viewing import show_changed

__all__ = [
    "append_file",
    "create_file",
    "edit_file",
    "edit_file_by_replace",
    "insert_content_at_line",
]


def create_file(path: str, content: str = "") -> None:
    """Make a file that is not there yet, with the folders above it, and open it.

    Args:
        path: the file.
        content: what it begins with.
    """
    place = Path(os.path.abspath(os.path.expanduser(path)))
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.touch(exist_ok=False)
    except FileExistsError:
        raise FileExistsError(f"{place} is there already: edit it, or remove it first") from None
    write_text(place, _ended(content, "\n"))
    show_changed(place, 1)


def edit_file(path: str, start: int, end: int, content: str) -> None:
    """Replace whole lines of a file.

    Args:
        path: the file.
        start: the first line that goes.
        end: the last line that goes.
        content: what comes in their place; nothing to remove them.
    """
    place = existing_file(path)
    lines = _lines(place)
    if not 1 <= start <= end <= len(lines):
        raise ValueError(
            f"start and end have to be lines of {place}, which has {len(lines):,}, in their order"
        )
    _put(place, lines, start - 1, end, content)


def insert_content_at_line(path: str, line_number: int, content: str) -> None:
    """Insert lines before a line of a file.

    Args:
        path: the file.
        line_number: the line before which they come; one more than the file has for its end.
        content: the lines.
    """
    place = existing_file(path)
    lines = _lines(place)
    if not 1 <= line_number <= len(lines) + 1:
        raise ValueError(f"line_number has to be from 1 to {len(lines) + 1:,} in {place}")
    _put(place, lines, line_number - 1, line_number - 1, content)


def append_file(path: str, content: str) -> None:
    """Add lines at the end of a file.

    Args:
        path: the file.
        content: the lines.
    """
    place = existing_file(path)
    lines = _lines(place)
    _put(place, lines, len(lines), len(lines), content)


def edit_file_by_replace(path: str, to_replace: str, new_content: str) -> None:
    """Replace a text that is in a file exactly once.

    Args:
        path: the file.
        to_replace: the text, with as much around it as makes it the only one.
        new_content: what comes in its place.
    """
    place = existing_file(path)
    text = read_text(place)
    if to_replace not in text:
        to_replace, new_content = _as_in(text, to_replace), _as_in(text, new_content)
    if not to_replace:
        raise ValueError("to_replace has to be a text of the file")
    at = text.find(to_replace)
    if at < 0:
        raise ValueError(f"to_replace is not in {place}{_nearest(text, to_replace)}")
    if text.find(to_replace, at + 1) >= 0:
        numbers = _lines_with(text, to_replace)
        raise ValueError(
            f"to_replace is in {place} more than once, in the lines {numbers}:"
            " give more of what is around the one that is meant"
        )
    write_text(place, text[:at] + new_content + text[at + len(to_replace) :])
    _show(place, text.count("\n", 0, at) + 1)


def _put(place: Path, lines: list[str], first: int, end: int, content: str) -> None:
    """Lines from `first` up to `end`, counted from 0, become `content`."""
    newline = _newline("".join(lines[:1]))
    if first == len(lines) and lines:
        lines[-1] = _ended(lines[-1], newline)
    lines[first:end] = [_ended(_as_in("".join(lines[:1]), content), newline)]
    write_text(place, "".join(lines))
    _show(place, first + 1)


def _show(place: Path, line: int) -> None:
    show_changed(place, max(1, min(line, len(_lines(place)))))


def _lines(place: Path) -> list[str]:
    return list(io.StringIO(read_text(place), newline="\n"))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _as_in(text: str, content: str) -> str:
    """With the ends of lines that the text has."""
    return content.replace("\r\n", "\n").replace("\n", _newline(text))


def _ended(content: str, newline: str) -> str:
    return content if not content or content.endswith("\n") else content + newline


def _lines_with(text: str, part: str) -> str:
    found: list[str] = []
    at = text.find(part)
    while at >= 0 and len(found) < 10:
        found.append(str(text.count("\n", 0, at) + 1))
        at = text.find(part, at + 1)
    return ", ".join(found)


def _nearest(text: str, wanted: str) -> str:
    """The line that is most like the first one that was wanted."""
    first = wanted.strip().splitlines()[:1]
    near = get_close_matches(first[0], text.split("\n", 10_000)[:10_000], n=1) if first else []
    return f"; the line most like it is {shown(near[0])!r}" if near else ""
