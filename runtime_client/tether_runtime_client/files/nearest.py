"""Finding what somebody meant who quoted a text not quite as it is."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable

#: A second of Python for each 10 MB or so, during which other threads are slow.
_MAX_SEARCHED = 4 * 1024 * 1024
#: How far to either side of a line of such a file.
_PART = 256 * 1024
#: Words that are counted in such a file: each takes 25 ms for 50 MB.
_MAX_WORDS = 12
_WORD = re.compile(rb"[\w\x80-\xff]{3,}")
_MAX_SHOWN = 2_000
_MAX_LINE = 500
#: Lines that are compared letter by letter; those with the same words come first.
_MAX_COMPARED = 2_000
_LEAST_LIKENESS = 0.6
_LEAST_WEIGHT = 0.2


def nearest(body: bytes, wanted: bytes) -> tuple[int, str] | None:
    """The line number and text of the lines most like `wanted`; None when nothing is like it.

    Lines that are the same but for spaces count most; failing these, the line most like the
    first one wanted. Of a file over 4 MiB only the surroundings of one place are looked at: of the
    longest line wanted that is there, else of the rarest word.
    """
    if len(body) > _MAX_SEARCHED:
        return _nearest_in_part(body, wanted)
    lines = body.decode("utf-8", "replace").split("\n")
    asked = wanted.decode("utf-8", "replace").strip("\n").split("\n")
    start, weight = _by_equal_lines(lines, asked)
    if weight < len(wanted) * _LEAST_WEIGHT:  # a brace or an `else` says little
        like = _by_likeness(lines, asked)
        start = like if like is not None else start
    if start is None:
        return None
    text = "\n".join(line[:_MAX_LINE] for line in lines[start : start + len(asked)])
    return start + 1, text[:_MAX_SHOWN]


def _nearest_in_part(body: bytes, wanted: bytes) -> tuple[int, str] | None:
    at = _landmark(body, wanted)
    if at is None:
        return None
    start = body.rfind(b"\n", 0, max(at - _PART, 0)) + 1
    end = body.find(b"\n", at + _PART) + 1 or len(body)
    found = nearest(body[start : min(end, start + _MAX_SEARCHED)], wanted)
    return found and (found[0] + body.count(b"\n", 0, start), found[1])


def _landmark(body: bytes, wanted: bytes) -> int | None:
    for line in _longest(part.strip() for part in wanted.split(b"\n")):
        if (at := body.find(line)) >= 0:
            return at
    words = _longest(_WORD.findall(wanted))[:_MAX_WORDS]
    found = [(count, word) for word in words if (count := body.count(word))]
    return body.find(min(found)[1]) if found else None


def _longest(texts: Iterable[bytes]) -> list[bytes]:
    return sorted(set(texts) - {b""}, key=lambda text: (-len(text), text))


def _by_equal_lines(lines: list[str], asked: list[str]) -> tuple[int | None, int]:
    """The start that makes most letters fall on equal lines, not looking at spaces; how many."""
    places: dict[str, list[int]] = {}
    for position, line in enumerate(asked):
        if key := "".join(line.split()):
            places.setdefault(key, []).append(position)
    votes: Counter[int] = Counter()
    for number, line in enumerate(lines):
        key = "".join(line.split())
        for position in places.get(key, ()):
            votes[max(number - position, 0)] += len(key)
    if not votes:
        return None, 0
    best = max(votes, key=lambda start: (votes[start], -start))
    return best, votes[best]


def _by_likeness(lines: list[str], asked: list[str]) -> int | None:
    """The line most like the first one asked for that has any text."""
    position, first = next(
        ((number, line.strip()) for number, line in enumerate(asked) if line.strip()), (0, "")
    )
    if not first or len(first) > _MAX_LINE:
        return None
    matcher = difflib.SequenceMatcher(None, b=first)
    best, best_likeness = None, _LEAST_LIKENESS
    for number in _candidates(lines, first):
        matcher.set_seq1(lines[number].strip()[:_MAX_LINE])
        if matcher.quick_ratio() > best_likeness and matcher.ratio() > best_likeness:
            best, best_likeness = number, matcher.ratio()
    return None if best is None else max(best - position, 0)


def _candidates(lines: list[str], first: str) -> list[int]:
    """Lines of about that length, those that share most words first."""
    words = set(first.split())
    length = len(first)
    possible = [
        number
        for number, line in enumerate(lines)
        if length // 2 <= len(line.strip()) <= length * 2 + 1
    ]
    if len(possible) > _MAX_COMPARED:
        possible.sort(key=lambda number: -len(words & set(lines[number].split())))
    return possible[:_MAX_COMPARED]
