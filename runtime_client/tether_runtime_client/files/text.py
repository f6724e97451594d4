"""Text and bytes: which of the two a file is, in what encoding, with what line ends.

Text is handled as UTF-8 bytes, whatever the file's own encoding: searching and counting bytes is
fast, takes no second copy, and works for 50 MB as for a line.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from .errors import EditFailed, NotText

#: Longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes stand for text: a codec's `name`, and the `mark` in front (BOM)."""

    name: str = "utf-8"
    mark: bytes = b""

    @property
    def is_utf8(self) -> bool:
        """True when the file's bytes are the text as it is handled here."""
        return self.name == "utf-8"


def detect(path: str, start: bytes, encoding: str | None = None) -> Encoding:
    """The encoding that was named, else what the mark at the start says, else UTF-8.

    Raises NotText for a name that no codec of text has.
    """
    named = _codec(path, encoding) if encoding is not None else None
    for mark, name in _MARKS:
        if start.startswith(mark) and named in (None, name, name[:6], f"{name}-sig"):
            return Encoding(name, mark)
    return Encoding(named or "utf-8")


def _codec(path: str, encoding: str) -> str:
    try:
        "".encode(encoding)  # refuses codecs from bytes to bytes, such as base64
        return codecs.lookup(encoding).name
    except LookupError:
        raise NotText(
            path,
            f"there is no text encoding {encoding!r}",
            "Use a name such as utf-8, latin-1 or utf-16-le",
            encoding=encoding,
        ) from None


def to_utf8(path: str, data: bytes, encoding: Encoding) -> bytes:
    """A file's bytes as UTF-8 without mark. Raises NotText."""
    body = data.removeprefix(encoding.mark)
    if encoding.is_utf8:
        check_utf8(path, body)
        return body
    try:
        return body.decode(encoding.name).encode()
    except UnicodeError as error:
        raise NotText(
            path, f"{path} is not text in {encoding.name}: {error}", encoding=encoding.name
        ) from error


def check_utf8(path: str, data: bytes, offset: int = 0) -> None:
    """Raise NotText unless `data`, which begins at `offset` of the file, is UTF-8 without NUL."""
    nul = data.find(b"\0")
    if nul >= 0:
        raise NotText(
            path,
            f"{path} is binary: byte {offset + nul} is NUL",
            encoding="utf-8",
            offset=offset + nul,
        )
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise NotText(
            path,
            f"{path} is not UTF-8 text: byte {offset + error.start} is {data[error.start]:#04x}",
            encoding="utf-8",
            offset=offset + error.start,
        ) from error


def from_utf8(path: str, body: bytes, encoding: Encoding) -> bytes:
    """UTF-8 as the bytes of a file in that encoding. Raises EditFailed for what it lacks."""
    if encoding.is_utf8:
        return encoding.mark + body
    try:
        return encoding.mark + body.decode().encode(encoding.name)
    except UnicodeEncodeError as error:
        lacking = error.object[error.start]
        raise EditFailed(
            path,
            f"{path} is in {encoding.name}, which has no {lacking!r}",
            "Write it without that character, or convert the file to UTF-8 first",
        ) from error


def encode_text(path: str, text: str, encoding: str) -> bytes:
    """Text as the bytes of a file in the encoding of that name. Raises NotText."""
    codec = _codec(path, encoding)
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        lacking = error.object[error.start]
        raise NotText(
            path,
            f"{codec} has no {lacking!r}, so nothing was written to {path}",
            "Write it without that character, or as UTF-8",
            encoding=codec,
        ) from error


def line_end(body: bytes) -> bytes:
    """What ends most of the lines: CR LF or LF."""
    crlf = body.count(b"\r\n")
    return b"\r\n" if crlf * 2 > body.count(b"\n") else b"\n"


def with_line_ends(text: bytes, end: bytes) -> bytes:
    """`text` with every line ended by `end`."""
    plain = text.replace(b"\r\n", b"\n")
    return plain if end == b"\n" else plain.replace(b"\n", end)


def count_lines(body: bytes) -> int:
    """Lines, counting a last one without an end. An empty text has none."""
    return body.count(b"\n") + (not body.endswith(b"\n") if body else 0)


def after_lines(body: bytes, count: int) -> int:
    """Where the text goes on after `count` lines; its end when there are fewer."""
    position = 0
    for _ in range(count):
        position = body.find(b"\n", position) + 1
        if position == 0:
            return len(body)
    return position


def unfinished(data: bytes) -> int:
    """Bytes at the end that begin a character and do not finish it: 0 to 3."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xF8:  # begins nothing
            return 0
        if byte >= 0xC0:
            needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if needs > back else 0
        if byte < 0x80:
            return 0
    return 0
