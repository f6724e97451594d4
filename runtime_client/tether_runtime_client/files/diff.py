"""Showing one change of a file: a unified diff, and the changed lines with some around them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

Opcode = tuple[str, int, int, int, int]
"""As difflib has them: what to do, and the ranges of old and new lines."""

MAX_DIFF = 64 * 1024
"""The longest diff, in characters."""
MAX_SNIPPET = 16 * 1024
"""The longest snippet, in characters."""
_DIFF_CONTEXT = 3
_SNIPPET_CONTEXT = 4
_MAX_LINE = 1_000
#: Lines on either side above which a change is shown as a whole: difflib takes quadratic time.
_MAX_COMPARED = 1_000


@dataclass(frozen=True)
class Change:
    """`removed` bytes of `before` at `offset` give way to `added`. All of it is UTF-8."""

    before: bytes
    offset: int
    removed: int
    added: bytes

    @cached_property
    def after(self) -> bytes:
        """The text with the change made."""
        rest = self.before[self.offset + self.removed :]
        return b"".join((self.before[: self.offset], self.added, rest))


def diff_of(path: str, change: Change) -> str:
    """A unified diff with three lines of context; empty when nothing changed."""
    start, end = _whole_lines(change)
    first = _lines_back(change.before, start, _DIFF_CONTEXT)
    above = _lines(change.before[first:start])
    below = _lines(change.before[end : _lines_on(change.before, end, _DIFF_CONTEXT - 1)])
    old = _lines(change.before[start:end])
    new = _lines(change.after[start : end - change.removed + len(change.added)])
    lines = [f"--- {path}\n", f"+++ {path}\n"]
    size = sum(map(len, lines))
    for line in _hunks(above, old, new, below, change.before.count(b"\n", 0, first)):
        shown = _cut(line)
        size += len(shown)
        if size > MAX_DIFF:
            lines.append("… the diff is longer than can be shown\n")
            break
        lines.append(shown)
    return "".join(lines) if len(lines) > 2 else ""


def snippet_of(change: Change) -> tuple[int, str]:
    """The number of the first line shown, and the changed part of the new text around it."""
    after = change.after
    start = _lines_back(after, change.offset, _SNIPPET_CONTEXT)
    last = change.offset + len(change.added)
    ended = after.endswith(b"\n", 0, last) if last else False  # the change ends with its line
    end = _lines_on(after, last, _SNIPPET_CONTEXT - ended)
    text = ""
    for line in _lines(after[start:end]):
        text += _cut(line)
        if len(text) > MAX_SNIPPET:
            text = text[:MAX_SNIPPET] + "… more was changed than can be shown\n"
            break
    return after.count(b"\n", 0, start) + 1, text


def _whole_lines(change: Change) -> tuple[int, int]:
    """Where the lines that change begin and end in the text before."""
    start = change.before.rfind(b"\n", 0, change.offset) + 1
    end = change.offset + change.removed
    at_ends = all(
        part.endswith(b"\n") or not part
        for part in (change.before[start:end], change.before[start : change.offset] + change.added)
    )
    if at_ends:
        return start, end
    return start, change.before.find(b"\n", end) + 1 or len(change.before)


def _hunks(
    above: list[str], old: list[str], new: list[str], below: list[str], first: int
) -> list[str]:
    """The hunks of a diff; `first` lines of the file come before those `above` the change."""
    # Context is matched by place and not by content: equal lines in the change stay out of it.
    codes = _merged(
        [
            ("equal", 0, len(above), 0, len(above)),
            *(_moved(code, len(above), len(above)) for code in _codes(old, new)),
            _moved(("equal", 0, len(below), 0, len(below)), *_lengths(above, old, new)),
        ]
    )
    before, after = [*above, *old, *below], [*above, *new, *below]
    lines: list[str] = []
    for group in _grouped(codes):
        lines += _hunk(group, before, after, first)
    return lines


def _codes(old: list[str], new: list[str]) -> Iterable[Opcode]:
    if max(len(old), len(new)) > _MAX_COMPARED:
        return [("replace", 0, len(old), 0, len(new))]
    return difflib.SequenceMatcher(None, old, new).get_opcodes()


def _lengths(above: list[str], old: list[str], new: list[str]) -> tuple[int, int]:
    return len(above) + len(old), len(above) + len(new)


def _moved(code: Opcode, old: int, new: int) -> Opcode:
    tag, old_from, old_to, new_from, new_to = code
    return tag, old_from + old, old_to + old, new_from + new, new_to + new


def _merged(codes: list[Opcode]) -> list[Opcode]:
    """Neighbours that are both equal as one, and nothing that is empty."""
    merged: list[Opcode] = []
    for code in codes:
        if code[1] == code[2] and code[3] == code[4]:
            continue
        if merged and merged[-1][0] == code[0] == "equal":
            code = ("equal", merged[-1][1], code[2], merged.pop()[3], code[4])
        merged.append(code)
    return merged


def _grouped(codes: list[Opcode]) -> Iterator[list[Opcode]]:
    """Changes with at most three equal lines around them, far ones apart."""
    group: list[Opcode] = []
    for position, (tag, *ranges) in enumerate(codes):
        old_from, old_to, new_from, new_to = ranges
        if tag == "equal":
            length = old_to - old_from
            ends = position == len(codes) - 1 or length > 2 * _DIFF_CONTEXT
            if group and ends:
                keep = min(length, _DIFF_CONTEXT)
                yield [*group, (tag, old_from, old_from + keep, new_from, new_from + keep)]
                group = []
            if not group:
                skip = max(length - _DIFF_CONTEXT, 0)
                old_from, new_from = old_from + skip, new_from + skip
        group.append((tag, old_from, old_to, new_from, new_to))
    if any(tag != "equal" for tag, *_ in group):
        yield group


def _hunk(group: list[Opcode], old: Sequence[str], new: Sequence[str], first: int) -> list[str]:
    (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
    lines = [_header(first, old_start, old_end, new_start, new_end)]
    for tag, old_from, old_to, new_from, new_to in group:
        if tag == "equal":
            lines += [_marked(" ", line) for line in old[old_from:old_to]]
            continue
        lines += [_marked("-", line) for line in old[old_from:old_to]]
        lines += [_marked("+", line) for line in new[new_from:new_to]]
    return lines


def _header(first: int, old_start: int, old_end: int, new_start: int, new_end: int) -> str:
    old, new = _range(first, old_start, old_end), _range(first, new_start, new_end)
    return f"@@ -{old} +{new} @@\n"


def _range(first: int, start: int, end: int) -> str:
    """As diff writes it: an empty range names the line before it."""
    length = end - start
    begin = first + start + (1 if length else 0)
    return f"{begin}" if length == 1 else f"{begin},{length}"


def _marked(mark: str, line: str) -> str:
    if line.endswith("\n"):
        return mark + line
    return f"{mark}{line}\n\\ No newline at end of file\n"


def _cut(line: str) -> str:
    if len(line) <= _MAX_LINE:
        return line
    return f"{line[:_MAX_LINE]}… {len(line) - _MAX_LINE:,} more characters\n"


def _lines(data: bytes) -> list[str]:
    """Lines with their ends; only LF ends one."""
    parts = data.decode("utf-8", "replace").split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _lines_back(data: bytes, at: int, count: int) -> int:
    """The start of the line that is `count` lines above the one at `at`."""
    at = data.rfind(b"\n", 0, at) + 1
    for _ in range(count):
        if at == 0:
            break
        at = data.rfind(b"\n", 0, at - 1) + 1
    return at


def _lines_on(data: bytes, at: int, count: int) -> int:
    """The end of the line that is `count` lines below the one at `at`."""
    for _ in range(count + 1):
        at = data.find(b"\n", at) + 1
        if at == 0:
            return len(data)
    return at
