"""Skills that show a file, a window of lines at a time."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .text_files import existing_file, read_lines, shown

__all__ = ["goto_line", "open_file", "scroll_down", "scroll_up"]

STATE = "AGENT_SKILLS_STATE"
"""Names a file that remembers the open file from one process to the next."""


@dataclass(frozen=True)
class Window:
    """The lines of a file that were shown last: `size` of them from `first` on."""

    path: str
    first: int
    size: int


_last: list[Window] = []


def open_file(path: str, line_number: int = 1, context_lines: int = 100) -> None:
    """Open a file and print the lines around one of them.

    Args:
        path: the file.
        line_number: the line in the middle of the window, where the file has as many.
        context_lines: how many lines are shown, by scroll_down and scroll_up too.
    """
    if context_lines < 1:
        raise ValueError("context_lines has to be 1 or more")
    _show_around(existing_file(path), line_number, context_lines)


def goto_line(line_number: int) -> None:
    """Print the lines of the open file around one of them.

    Args:
        line_number: the line in the middle of the window.
    """
    window = opened()
    _show_around(existing_file(window.path), line_number, window.size)


def scroll_down() -> None:
    """Print the next lines of the open file."""
    window = opened()
    _show(existing_file(window.path), window.first + window.size, window.size)


def scroll_up() -> None:
    """Print the lines of the open file that come before those shown last."""
    window = opened()
    _show(existing_file(window.path), window.first - window.size, window.size)


def opened() -> Window:
    """What is open; raises `ValueError` where nothing is."""
    window = _last[-1] if _last else _remembered()
    if window is None:
        raise ValueError("no file is open: call open_file first")
    return window


def show_changed(path: Path, line_number: int) -> None:
    """Print the lines around what was changed; the file is open afterwards."""
    known = _last[-1] if _last else _remembered()
    _show_around(path, line_number, known.size if known is not None else 100)


def _show_around(path: Path, line: int, size: int) -> None:
    total = sum(1 for _ in read_lines(path))
    if not 1 <= line <= max(total, 1):
        raise ValueError(f"line_number has to be from 1 to {total:,}, the lines of {path}")
    _show(path, line - size // 2, size)


def _show(path: Path, first: int, size: int) -> None:
    total = sum(1 for _ in read_lines(path))
    first = max(1, min(first, total - size + 1))
    print(f"[File: {path} ({total:,} lines)]")
    print(f"({first - 1:,} more lines above)" if first > 1 else "(this is the beginning)")
    for number, line in enumerate(read_lines(path), 1):
        if number >= first + size:
            break
        if number >= first:
            print(f"{number}|{shown(line)}")
    below = total - (first + size - 1)
    print(f"({below:,} more lines below)" if below > 0 else "(this is the end)")
    _remember(Window(str(path), first, size))


def _remember(window: Window) -> None:
    _last[:] = [window]
    if STATE in os.environ:
        Path(os.environ[STATE]).write_text(json.dumps(asdict(window)), encoding="utf-8")


def _remembered() -> Window | None:
    try:
        return Window(**json.loads(Path(os.environ[STATE]).read_text(encoding="utf-8")))
    except (KeyError, FileNotFoundError):
        return None
