"""Editing text files as agents do: look, replace a piece, insert lines, take it back.

Edits work on bytes of UTF-8 and touch one stretch of the file each. That is what makes a diff
cheap to show and an edit cheap to undo, in a file of 50 MB as in one of five lines.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .diff import Change, diff_of, snippet_of
from .errors import (
    AlreadyExists,
    EditFailed,
    NoMatch,
    NothingToUndo,
    OutOfRange,
    SeveralMatches,
    TooLarge,
    about,
)
from .history import History, Step, difference
from .nearest import nearest
from .opening import open_file, pieces
from .read import MAX_BYTES, Text, read_text
from .text import (
    Encoding,
    after_lines,
    count_lines,
    detect,
    from_utf8,
    line_end,
    to_utf8,
    with_line_ends,
)
from .write import write_file

MAX_EDITED = 256 * 1024 * 1024
"""The longest file that can be edited; it is held in memory twice."""
_MAX_LINES_LISTED = 100


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit that was made.

    `content` is the changed part of the new file with four lines around it, beginning at
    `start_line` (lines are cut at 1,000 characters, the whole at 16 KiB); `diff` is unified, at
    most 64 KiB.
    """

    path: str
    content: str
    start_line: int
    total_lines: int
    diff: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is edited: text as UTF-8 without mark, and how to write it back."""

    body: bytes
    encoding: Encoding


class Editor:
    """Edits files, and keeps in the folder `history` what is needed to take edits back.

    Undo works across lives of this object. Edits of one Editor run one after the other, from
    whatever threads they come. All methods raise a FileOperationError, and the file is as it was
    then. `encoding` is UTF-8 or what a byte order mark says, unless named; it is kept, as are
    line ends, mode, owner and links.
    """

    def __init__(self, history: str) -> None:
        self._history = History(history)
        self._lock = threading.Lock()

    def view(
        self,
        path: str,
        view_range: tuple[int, int] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        encoding: str | None = None,
    ) -> Text:
        """Read lines `view_range`, both included and from 1; -1 stands for the last line.

        More than `max_bytes` are cut after a line; the result says so.
        """
        start, end = view_range or (1, -1)
        if start < 1 or (end != -1 and end < start):
            raise OutOfRange(
                path, f"[{start}, {end}] is no range of lines", "Lines count from 1, -1 is the last"
            )
        return read_text(
            path,
            start_line=start,
            end_line=None if end == -1 else end,
            max_bytes=max_bytes,
            if_larger="truncate",
            encoding=encoding,
        )

    def create(self, path: str, file_text: str, *, encoding: str | None = None) -> Edited:
        """Write a new file, with the directories on its way. Raises AlreadyExists."""
        with self._lock:
            if os.path.lexists(path):
                raise AlreadyExists(path, f"there is something at {path} already")
            body = _encoded(path, file_text)
            change = Change(b"", 0, 0, body)
            data = from_utf8(path, body, detect(path, b"", encoding))
            write_file(path, data, make_parents=True, only_new=True)
            try:
                with _history_of(path):
                    self._history.push(path, Step.creating(data))
            except EditFailed:
                os.unlink(path)
                raise
            return _edited(path, change)

    def str_replace(
        self, path: str, old_str: str, new_str: str, *, encoding: str | None = None
    ) -> Edited:
        """Replace the only place that has `old_str`.

        In a file with CR LF line ends, LF in both strings stands for them. Raises NoMatch or
        SeveralMatches.
        """
        if not old_str:
            raise EditFailed(path, "there is no text to replace", "Use insert to add lines")
        if old_str == new_str:
            raise EditFailed(path, "the new text is the old one: nothing would change")
        with self._lock:
            file = _load(path, encoding)
            old, new = _encoded(path, old_str), _encoded(path, new_str)
            at, old, new = _place(path, file.body, old, new)
            return self._apply(path, file, Change(file.body, at, len(old), new))

    def insert(
        self, path: str, insert_line: int, new_str: str, *, encoding: str | None = None
    ) -> Edited:
        """Insert `new_str` as lines after line `insert_line`; 0 is before the first.

        A line end is added where one is missing. Raises OutOfRange.
        """
        with self._lock:
            file = _load(path, encoding)
            at = _after(path, file.body, insert_line)
            end = line_end(file.body)
            new = with_line_ends(_encoded(path, new_str), end)
            if at and not file.body.endswith(b"\n", 0, at):
                new = end + new  # after a last line that has no end: it stays the last's way
            elif not new.endswith(b"\n"):
                new += end
            return self._apply(path, file, Change(file.body, at, 0, new))

    def undo_edit(self, path: str) -> Edited:
        """Take back the last edit of the file that is not taken back yet. Raises NothingToUndo."""
        with self._lock:
            with _history_of(path):
                step = self._history.last(path)
            if step is None:
                raise NothingToUndo(path, f"no edit of {path} is known", "Edit it back by hand")
            data = _raw(path)
            if step.never_made(data):  # a client died between noting and writing
                with _history_of(path):
                    self._history.pop(path)
                    step = self._history.last(path)
            if step is None or not step.made(data):
                raise NothingToUndo(
                    path,
                    f"something else has changed {path} since its last edit",
                    "View it, and edit it back by hand",
                )
            return self._take_back(path, data, step)

    def _take_back(self, path: str, data: bytes, step: Step) -> Edited:
        if step.created:
            with about(path):
                os.unlink(os.path.realpath(path))
            self._history.pop(path)
            return Edited(path, "", 1, 0, diff_of(path, Change(data, 0, len(data), b"")))
        before = step.undone(data)
        write_file(path, before)
        self._history.pop(path)
        kind = detect(path, data[:4], step.encoding)
        shown, was = to_utf8(path, data, kind), to_utf8(path, before, kind)
        start, gone, back = difference(shown, was)
        return _edited(path, Change(shown, start, gone, was[start : start + back]))

    def _apply(self, path: str, file: _File, change: Change) -> Edited:
        before = from_utf8(path, file.body, file.encoding)
        after = from_utf8(path, change.after, file.encoding)
        with _history_of(path):
            self._history.push(path, Step.between(before, after, file.encoding.name))
        try:
            write_file(path, after)
        except BaseException:
            self._history.pop(path)
            raise
        return _edited(path, change)


def _raw(path: str) -> bytes:
    with open_file(path) as (file, found):
        if found.st_size > MAX_EDITED:
            raise TooLarge(
                path,
                f"{path} has {found.st_size:,} bytes, more than can be edited ({MAX_EDITED:,})",
                "Use a command such as sed",
                size=found.st_size,
                limit=MAX_EDITED,
            )
        return b"".join(pieces(file))


def _load(path: str, encoding: str | None) -> _File:
    data = _raw(path)
    kind = detect(path, data[:4], encoding)
    return _File(to_utf8(path, data, kind), kind)


def _encoded(path: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise EditFailed(path, f"the text cannot be written as UTF-8: {error.reason}") from error
    if b"\0" in data:
        raise EditFailed(path, "the text has a NUL character", "Write the file as bytes")
    return data


def _place(path: str, body: bytes, old: bytes, new: bytes) -> tuple[int, bytes, bytes]:
    """Where `old` is, and both texts with the file's line ends."""
    at = body.find(old)
    if at < 0 and b"\r\n" in body:
        old, new = with_line_ends(old, b"\r\n"), with_line_ends(new, b"\r\n")
        at = body.find(old)
    elif line_end(body) == b"\r\n":
        new = with_line_ends(new, b"\r\n")
    if at < 0:
        raise _no_match(path, body, old)
    if body.find(old, at + 1) >= 0:
        raise _several(path, body, old)
    return at, old, new


def _no_match(path: str, body: bytes, old: bytes) -> NoMatch:
    close = nearest(body, old)
    message = f"the text to replace is not in {path}"
    hint = "View the file and copy the text exactly, with its spaces"
    if close is None:
        return NoMatch(path, message, hint)
    line, text = close
    return NoMatch(
        path, f"{message}; nearest is line {line}:\n{text}", hint, line=line, nearest=text
    )


def _several(path: str, body: bytes, old: bytes) -> SeveralMatches:
    lines: list[int] = []
    count, at, line, counted = 0, body.find(old), 1, 0
    while at >= 0:
        count += 1
        if len(lines) < _MAX_LINES_LISTED:
            line += body.count(b"\n", counted, at)
            counted = at
            lines.append(line)
        at = body.find(old, at + 1)
    shown = ", ".join(map(str, lines)) + (", …" if count > len(lines) else "")
    return SeveralMatches(
        path,
        f"the text to replace is in {path} {count} times, at lines {shown}",
        "Add lines before or after it until it is there once",
        lines=lines,
        count=count,
    )


def _after(path: str, body: bytes, line: int) -> int:
    """Where the text goes on after that line."""
    total = count_lines(body)
    if not 0 <= line <= total:
        raise OutOfRange(
            path,
            f"{path} has {total} lines, so nothing can be inserted after line {line}",
            f"Give a line from 0 to {total}",
            total_lines=total,
        )
    return after_lines(body, line)


def _edited(path: str, change: Change) -> Edited:
    start, content = snippet_of(change)
    return Edited(path, content, start, count_lines(change.after), diff_of(path, change))


@contextmanager
def _history_of(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EditFailed(
            path,
            f"the history of edits of {path} cannot be used, so nothing was changed: "
            f"{error.strerror}",
            "Free space in the sandbox's run directory",
        ) from error
