"""What is searched for: an expression of Python's, and a wider one for ripgrep.

What ripgrep finds is looked at again by Python's own expression. So its expression may match more
than the other, but never less; then the result is the same with and without ripgrep.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterable
from typing import Any

_parser: Any = importlib.import_module("re._parser")  # Python's own, which has no stubs
_op: Any = importlib.import_module("re._constants")

_KNOWN_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.UNICODE
_REPEATS = (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT)
#: Matching a piece of many lines may not say whether a line of it matches.
_LOOKS_AROUND = {_op.ASSERT, _op.ASSERT_NOT, _op.ATOMIC_GROUP, _op.POSSESSIVE_REPEAT}
_LOOKS_AROUND |= {_op.GROUPREF_EXISTS, _op.AT_BEGINNING_STRING, _op.AT_END_STRING}
_CATEGORIES = {
    _op.CATEGORY_DIGIT: r"\p{Nd}",
    _op.CATEGORY_NOT_DIGIT: r"\P{Nd}",
    _op.CATEGORY_SPACE: r"\s\x1c-\x1f",
    _op.CATEGORY_NOT_SPACE: r"[^\s\x1c-\x1f]",
    _op.CATEGORY_WORD: r"\p{L}\p{N}_",
    _op.CATEGORY_NOT_WORD: r"[^\p{L}\p{N}_]",
}
_NOTS = {_op.CATEGORY_NOT_DIGIT, _op.CATEGORY_NOT_SPACE, _op.CATEGORY_NOT_WORD}
_PLACES = {
    _op.AT_BEGINNING: "^",
    _op.AT_BEGINNING_STRING: "^",
    _op.AT_END: "$",
    _op.AT_END_STRING: "$",
    # The two differ in what is part of a word: marks and joiners are to one and not to the other.
    _op.AT_BOUNDARY: r"(?:\b|(?-u:\b))",
    _op.AT_NON_BOUNDARY: "",
}


class ExpressionError(ValueError):
    """No expression. The message says why and where."""


class _Untranslatable(Exception):
    """What ripgrep has nothing for."""


class Expression:
    """Matches lines. `fixed`: the text as it stands; otherwise a regular expression of Python's.

    `wider` is for ripgrep, and matches every line that this matches; None where there is no such.
    Raises ExpressionError.
    """

    def __init__(self, text: str, *, fixed: bool = False, ignore_case: bool = False) -> None:
        flags = re.IGNORECASE if ignore_case else 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what may mean something else in years to come
                self._line = re.compile(re.escape(text) if fixed else text, flags)
                tree = _parser.parse(self._line.pattern, flags)
                self._piece = re.compile(self._line.pattern, flags | re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as problem:
            raise ExpressionError(str(problem) or type(problem).__name__) from problem
        self._by_piece = not any(op in _LOOKS_AROUND for op in _operators(tree))
        self.wider = _wider(tree, self._line.flags)

    def search(self, line: str) -> re.Match[str] | None:
        """The first match in a line without its end."""
        return self._line.search(line)

    def may_match(self, lines: str) -> bool:
        """False when none of these lines matches: asked of many at once, that is quick."""
        return not self._by_piece or self._piece.search(lines) is not None


def _operators(tree: Any) -> Iterable[Any]:
    for op, argument in tree:
        yield argument if op is _op.AT else op
        for inner in _inside(op, argument):
            yield from _operators(inner)


def _inside(op: Any, argument: Any) -> Iterable[Any]:
    if op in _REPEATS:
        return [argument[2]]
    if op is _op.SUBPATTERN:
        return [argument[3]]
    if op is _op.BRANCH:
        return list(argument[1])
    if op is _op.ATOMIC_GROUP:
        return [argument]
    if op in (_op.ASSERT, _op.ASSERT_NOT):
        return [argument[1]]
    return []


def _wider(tree: Any, flags: int) -> str | None:
    if flags & ~_KNOWN_FLAGS:
        return None
    try:
        return ("(?i)" if flags & re.IGNORECASE else "") + _sequence(tree)
    except _Untranslatable:
        return None


def _sequence(tree: Any) -> str:
    return "".join(_one(op, argument) for op, argument in tree)


def _one(op: Any, argument: Any) -> str:
    if op is _op.LITERAL:
        return _sign(argument)
    if op is _op.NOT_LITERAL:
        return _or_no_text(f"[^{_sign(argument)}]")
    if op is _op.ANY:
        return _or_no_text(".")
    if op is _op.IN:
        return _set(argument)
    if op is _op.BRANCH:
        return "(?:" + "|".join(_sequence(each) for each in argument[1]) + ")"
    if op is _op.SUBPATTERN:
        return _group(argument)
    if op in _REPEATS:
        return _repeat(argument)
    if op is _op.ATOMIC_GROUP:
        return f"(?:{_sequence(argument)})"
    if op is _op.AT:
        return _PLACES[argument]
    if op in (_op.ASSERT, _op.ASSERT_NOT):
        return ""  # wider
    if op is _op.GROUPREF:
        return ".*"  # wider
    raise _Untranslatable(op)


def _group(argument: Any) -> str:
    _, added, removed, inner = argument
    if (added | removed) & ~_KNOWN_FLAGS:
        raise _Untranslatable(added | removed)
    on = "i" if added & re.IGNORECASE else ""
    off = "-i" if removed & re.IGNORECASE else ""
    return f"(?{on}{off}:{_sequence(inner)})"


def _repeat(argument: Any) -> str:
    low, high, inner = argument
    upper = "" if high == _op.MAXREPEAT else str(int(high))
    return f"(?:{_sequence(inner)}){{{int(low)},{upper}}}"


def _set(members: Any) -> str:
    negated = bool(members) and members[0][0] is _op.NEGATE
    text = "".join(_member(op, argument) for op, argument in members[negated:])
    if negated:
        return _or_no_text(f"[^{text}]")
    everything_but = any(op is _op.CATEGORY and argument in _NOTS for op, argument in members)
    return _or_no_text(f"[{text}]") if everything_but else f"[{text}]"


def _or_no_text(expression: str) -> str:
    """Also a byte that is no text, which is a character of its own to Python."""
    return rf"(?:{expression}|(?-u:[\x80-\xff]))"


def _member(op: Any, argument: Any) -> str:
    if op is _op.LITERAL:
        return _sign(argument)
    if op is _op.RANGE:
        return f"{_sign(argument[0])}-{_sign(argument[1])}"
    if op is _op.CATEGORY:
        return _CATEGORIES[argument]
    raise _Untranslatable(op)


def _sign(code: int) -> str:
    """A character as itself; letters may be, anything else could mean something."""
    if 0xD800 <= code <= 0xDFFF:  # stands for a byte that is no text
        raise _Untranslatable(code)
    return chr(code) if chr(code).isalnum() and code < 128 else f"\\x{{{code:x}}}"
