"""Searching files with ripgrep, whose output is taken for what it is: a sandbox's.

It is given files by name and decides nothing but which of their lines to look at again. Whatever
it says that it could not have said, and its failure too, is answered by not using it any more.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from .expression import Expression
from .hits import Hit, kept

MAX_RECORD = 4 * 1024 * 1024
"""The longest line of its output that is read."""


class Unusable(Exception):
    """It cannot be used for this search: the message says why."""


@dataclass(frozen=True, slots=True)
class Ripgrep:
    """One search's way to run it: the `program`, and the `environment` for it."""

    program: str
    environment: Mapping[str, str]
    wanted: Expression
    before: int
    after: int

    def search(self, paths: Sequence[str], *, in_order: bool = False) -> Iterator[tuple[str, Hit]]:
        """The hits in these files, by absolute path; those of one file in their order, together.

        `in_order`: the files too are in the order they were given in; takes one processor only.
        Raises Unusable, also after some hits. The process ends with the iteration.
        """
        process = self._start(paths, in_order)
        assert process.stdout is not None
        try:
            with process.stdout as output:
                yield from _hits(output, set(paths), self)
        finally:
            process.kill()
            process.wait()

    def _start(self, paths: Sequence[str], in_order: bool) -> subprocess.Popen[bytes]:
        assert self.wanted.wider is not None
        argv = [
            *(self.program, "--no-config", "--json", "--text", "--crlf", "--no-messages"),
            *("--no-ignore", "--hidden", "--before-context", str(self.before)),
            *("--after-context", str(self.after), *(("--threads", "1") if in_order else ())),
            f"--regexp={self.wanted.wider}",
            "--",
            *paths,
        ]
        try:
            return subprocess.Popen(
                argv,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as problem:
            raise Unusable(f"it does not start: {problem}") from problem


def _hits(output: IO[bytes], paths: set[str], rg: Ripgrep) -> Iterator[tuple[str, Hit]]:
    """What its records say; there is a summary at the end of every search that it could do."""
    file = _File(rg)
    while record := output.readline(MAX_RECORD):
        kind, data = _parsed(record)
        if kind == "summary":
            return
        path = _text(data.get("path"), "surrogateescape")
        if path not in paths:
            raise Unusable("it tells of a file that it was not asked about")
        if kind == "begin":
            file = _File(rg)
        elif kind in ("match", "context"):
            yield from ((path, hit) for hit in file.line(*_line(data)))
        elif kind == "end":
            yield from ((path, hit) for hit in file.end())
        else:
            raise Unusable(f"it says {kind!r}")
    raise Unusable("it ended too early")


@dataclass(slots=True)
class _File:
    """Makes hits of the lines of one file, which come in order, each once."""

    rg: Ripgrep
    _last: deque[tuple[int, str]] = field(init=False)
    _pending: deque[tuple[Hit, list[str]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._last = deque(maxlen=self.rg.before)

    def line(self, number: int, text: str) -> Iterator[Hit]:
        """A line that may match, or is near one that may."""
        yield from self._ripe(number)
        for hit, after in self._pending:
            if number == hit.line + len(after) + 1:
                after.append(kept(text))
        if found := self.rg.wanted.search(text):
            before = tuple(line for at, line in self._last if at >= number - self.rg.before)
            self._pending.append((Hit(number, found.start() + 1, kept(text), before), []))
        self._last.append((number, kept(text)))

    def end(self) -> Iterator[Hit]:
        """No more lines."""
        yield from self._ripe(None)

    def _ripe(self, number: int | None) -> Iterator[Hit]:
        while self._pending:
            hit, after = self._pending[0]
            goes_on = number is not None and number == hit.line + len(after) + 1
            if goes_on and len(after) < self.rg.after:
                return
            self._pending.popleft()
            yield replace(hit, after=tuple(after))


def _parsed(record: bytes) -> tuple[str, dict[str, Any]]:
    try:
        parsed = json.loads(record)
    except (ValueError, RecursionError) as problem:
        raise Unusable(f"what it says is no JSON, or too long: {problem}") from problem
    if not isinstance(parsed, dict) or not isinstance(parsed.get("data"), dict):
        raise Unusable("what it says is no record")
    return str(parsed.get("type")), parsed["data"]


def _line(data: dict[str, Any]) -> tuple[int, str]:
    number = data.get("line_number")
    if type(number) is not int or number < 1:
        raise Unusable("a line of it has no number")
    text = _text(data.get("lines"), "surrogateescape")
    return number, text.removesuffix("\n").removesuffix("\r")


def _text(value: object, errors: str) -> str:
    """Text, or the bytes of what is none."""
    match value:
        case {"text": str(text)}:
            return text
        case {"bytes": str(encoded)}:
            try:
                return base64.b64decode(encoded, validate=True).decode("utf-8", errors)
            except (binascii.Error, ValueError) as problem:
                raise Unusable("what should be base64 is not") from problem
    raise Unusable("there is no text where there should be some")
