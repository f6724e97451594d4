"""Reading: text by lines, or bytes by offset, never more than a limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from .errors import NotText, OutOfRange, TooLarge
from .opening import open_file, pieces
from .text import (
    Encoding,
    after_lines,
    check_utf8,
    count_lines,
    detect,
    line_end,
    to_utf8,
    unfinished,
)

MAX_BYTES = 1024 * 1024
"""What one read returns unless told otherwise."""
MAX_CONVERTED = 64 * 1024 * 1024
"""The longest file in another encoding than UTF-8: those are converted as a whole."""

IfLarger = Literal["fail", "truncate"]


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of a text file, with their own line ends.

    Lines count from 1, and `start_line` to `end_line` are what `content` holds (`end_line` is
    `start_line - 1` when it holds none). `truncated`: lines that were asked for did not fit.
    """

    path: str
    content: str
    start_line: int
    end_line: int
    total_lines: int
    total_bytes: int
    truncated: bool
    encoding: str
    line_end: Literal["\n", "\r\n"]


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a file from `offset`. `truncated`: bytes that were asked for did not fit."""

    path: str
    data: bytes
    offset: int
    total_bytes: int
    truncated: bool


def read_text(
    path: str,
    *,
    start_line: int = 1,
    end_line: int | None = None,
    max_bytes: int = MAX_BYTES,
    if_larger: IfLarger = "fail",
    encoding: str | None = None,
) -> Text:
    """Read lines `start_line` to `end_line` (None: the last), both included.

    The file may be of any size: what was not asked for is counted and not kept. More than
    `max_bytes` of UTF-8 raise TooLarge, or are cut after the last line that fits
    (or within the first, when not even that fits). Without
    `encoding` it is UTF-8, or what a byte order mark says.

    Raises NotText for binary content, also outside the lines asked for; OutOfRange when
    `start_line` is beyond the file; any FileOperationError of a path.
    """
    with open_file(path) as (file, found):
        start = file.read(4)
        kind = detect(path, start, encoding)
        file.seek(0)
        body = _utf8_pieces(path, file, kind)
        chosen = _Lines(start_line, end_line, max_bytes)
        for piece in body:
            chosen.take(piece)
    if chosen.overflowed and if_larger == "fail":
        raise _too_many(path, chosen, found.st_size, max_bytes)
    if start_line > max(chosen.total_lines, 1):
        raise _beyond(path, chosen.total_lines, start_line)
    text = chosen.content()
    shown = count_lines(text)
    return Text(
        path=path,
        content=text.decode(),
        start_line=start_line,
        end_line=start_line + shown - 1,
        total_lines=chosen.total_lines,
        total_bytes=found.st_size or chosen.total_bytes,
        truncated=chosen.overflowed,
        encoding=kind.name,
        line_end="\r\n" if line_end(text) == b"\r\n" else "\n",
    )


def read_bytes(
    path: str,
    *,
    offset: int = 0,
    length: int | None = None,
    max_bytes: int = MAX_BYTES,
    if_larger: IfLarger = "fail",
) -> Bytes:
    """Read `length` bytes (None: all) from `offset`; beyond the end there are none.

    More than `max_bytes` raise TooLarge, or are cut. Raises any FileOperationError of a path.
    """
    with open_file(path) as (file, found):
        if offset:
            file.seek(offset)
        wanted = max_bytes + 1 if length is None else min(length, max_bytes + 1)
        data = b"".join(pieces(file, wanted))
        truncated = len(data) > max_bytes
        if truncated and if_larger == "fail":
            raise TooLarge(
                path,
                f"{path} has {found.st_size:,} bytes, more than the limit of {max_bytes:,}",
                size=found.st_size,
                limit=max_bytes,
            )
    data = data[:max_bytes]
    total = max(found.st_size, offset + len(data) if data else 0)
    return Bytes(path, data, offset, total, truncated)


def _too_many(path: str, lines: _Lines, size: int, limit: int) -> TooLarge:
    return TooLarge(
        path,
        f"{path} has more than {limit:,} bytes in the lines asked for "
        f"(the file: {size:,} bytes, {lines.total_lines:,} lines)",
        size=size,
        limit=limit,
    )


def _beyond(path: str, total: int, line: int) -> OutOfRange:
    return OutOfRange(
        path,
        f"{path} has {total} lines, so there is no line {line}",
        "Ask for lines within the file",
        total_lines=total,
    )


class _Lines:
    """Picks lines out of a text that comes in pieces, and counts the rest."""

    def __init__(self, start: int, end: int | None, limit: int) -> None:
        self._start = start
        self._end = end
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0
        self._ended = True
        #: Complete lines so far; the piece to come begins in the line after them.
        self._complete = 0
        self.total_bytes = 0
        self.overflowed = False

    @property
    def total_lines(self) -> int:
        return self._complete + (not self._ended)

    def take(self, piece: bytes) -> None:
        lines = piece.count(b"\n")
        first, last = self._complete + 1, self._complete + 1 + lines
        if last >= self._start and (self._end is None or first <= self._end):
            self._keep(self._cut(piece, first))
        self._complete += lines
        self._ended = piece.endswith(b"\n")
        self.total_bytes += len(piece)

    def content(self) -> bytes:
        """What was picked; after an overflow only whole lines, or the start of one long line."""
        text = b"".join(self._kept)
        if not self.overflowed:
            return text
        text = text[: self._limit]
        whole = text.rfind(b"\n") + 1
        return text[:whole] or text[: len(text) - unfinished(text)]

    def _cut(self, piece: bytes, first: int) -> bytes:
        begin = after_lines(piece, max(self._start - first, 0))
        if self._end is None:
            return piece[begin:]
        return piece[begin : after_lines(piece, self._end - first + 1)]

    def _keep(self, data: bytes) -> None:
        if self._size <= self._limit:
            self._kept.append(data[: self._limit + 1 - self._size])
        self._size += len(data)
        self.overflowed = self._size > self._limit


def _utf8_pieces(path: str, file: BinaryIO, encoding: Encoding) -> Iterator[bytes]:
    if not encoding.is_utf8:
        data = b"".join(pieces(file, MAX_CONVERTED + 1))
        if len(data) > MAX_CONVERTED:
            raise TooLarge(
                path,
                f"{path} is in {encoding.name} and longer than {MAX_CONVERTED:,} bytes",
                "Convert it to UTF-8 with a command",
                limit=MAX_CONVERTED,
            )
        yield to_utf8(path, data, encoding)
        return
    file.seek(len(encoding.mark))
    yield from _checked_pieces(path, file, len(encoding.mark))


def _checked_pieces(path: str, file: BinaryIO, offset: int) -> Iterator[bytes]:
    """Pieces that end where a character ends, each of them UTF-8."""
    rest = b""
    for piece in pieces(file):
        data = rest + piece
        cut = len(data) - unfinished(data)
        check_utf8(path, data[:cut], offset)
        yield data[:cut]
        offset += cut
        rest = data[cut:]
    if rest:
        raise NotText(
            path, f"{path} ends in the middle of a UTF-8 character", encoding="utf-8", offset=offset
        )
