"""Searching a file line by line with Python's own expressions."""

from __future__ import annotations

import codecs
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from .expression import Expression
from .hits import SNIFFED, Hit, encoding_of, kept

PIECE = 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
"""A longer line is searched as several."""


def search_file(path: str, wanted: Expression, before: int, after: int) -> Iterator[Hit]:
    """The lines of a file that match, in order; none of a binary one.

    Raises OSError for what cannot be read or is no ordinary file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no ordinary file")
        start = file.read(SNIFFED)
        encoding = encoding_of(start)
        if encoding is None:
            return
        scan = _Scan(wanted, before, after)
        for text in _texts(start[encoding[1] :], file, encoding[0]):
            yield from scan.take(text)
        yield from scan.finish()


def is_binary(path: str) -> bool:
    """Whether a file is binary; one that cannot be read is not."""
    try:
        with open(path, "rb", buffering=0) as file:
            return encoding_of(file.read(SNIFFED)) is None
    except OSError:
        return False


def _texts(start: bytes, file: BinaryIO, encoding: str) -> Iterator[str]:
    """The text in pieces that end where a line ends, with LF alone as line ends."""
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    rest, data = "", start
    while data:
        text = rest + decoder.decode(data)
        cut = text.rfind("\n") + 1
        if cut == 0 and len(text) >= MAX_LINE:
            cut = len(text)
        if cut:
            yield text[:cut].replace("\r\n", "\n")
        rest = text[cut:]
        data = file.read(PIECE)
    if rest := rest + decoder.decode(b"", final=True):
        yield rest


class _Scan:
    """Looks through one piece after the other, and keeps what context needs."""

    def __init__(self, wanted: Expression, before: int, after: int) -> None:
        self._wanted = wanted
        self._after = after
        self._last: deque[str] = deque(maxlen=before)
        self._line = 1
        #: Hits that still wait for lines after them.
        self._pending: deque[tuple[Hit, list[str]]] = deque()

    def take(self, text: str) -> Iterator[Hit]:
        if not self._pending and not self._wanted.may_match(text):
            self._pass(text)
            return
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            yield from self._look(line)

    def finish(self) -> Iterator[Hit]:
        """At the file's end: what still waits has all there is."""
        while self._pending:
            yield _with(*self._pending.popleft())

    def _pass(self, text: str) -> None:
        """Nothing here: the last lines may be somebody's context."""
        self._line += text.count("\n")
        if count := self._last.maxlen:
            self._last.extend(map(kept, text.removesuffix("\n").rsplit("\n", count)[-count:]))

    def _look(self, line: str) -> Iterator[Hit]:
        for _, after in self._pending:
            after.append(kept(line))
        while self._pending and len(self._pending[0][1]) >= self._after:
            yield _with(*self._pending.popleft())
        if found := self._wanted.search(line):
            hit = Hit(self._line, found.start() + 1, kept(line), tuple(self._last))
            if self._after:
                self._pending.append((hit, []))
            else:
                yield hit
        self._last.append(kept(line))
        self._line += 1


def _with(hit: Hit, after: list[str]) -> Hit:
    return replace(hit, after=tuple(after))
