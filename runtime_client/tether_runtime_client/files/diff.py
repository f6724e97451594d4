"""Showing one change of a file: a unified diff, and the changed lines with some around them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property

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
    start = _lines_back(change.before, change.offset, _DIFF_CONTEXT)
    end = _lines_on(change.before, change.offset + change.removed, _DIFF_CONTEXT)
    old = _lines(change.before[start:end])
    # What follows the change is the same on both sides, so both parts end with the same bytes.
    new = _lines(change.after[start : end - change.removed + len(change.added)])
    first = change.before.count(b"\n", 0, start)
    lines = [f"--- {path}\n", f"+++ {path}\n"]
    size = sum(map(len, lines))
    for line in _hunks(old, new, first):
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


def _hunks(old: list[str], new: list[str], first: int) -> list[str]:
    """The hunks of a diff, with `first` lines of the file before them."""
    if max(len(old), len(new)) > _MAX_COMPARED:
        return _as_a_whole(old, new, first)
    groups = difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_DIFF_CONTEXT)
    lines = []
    for group in groups:
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        lines.append(_header(first, old_start, old_end, new_start, new_end))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [_marked(" ", line) for line in old[old_from:old_to]]
                continue
            lines += [_marked("-", line) for line in old[old_from:old_to]]
            lines += [_marked("+", line) for line in new[new_from:new_to]]
    return lines


def _as_a_whole(old: list[str], new: list[str], first: int) -> list[str]:
    lines = [_header(first, 0, len(old), 0, len(new))]
    lines += [_marked("-", line) for line in old]
    return lines + [_marked("+", line) for line in new]


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
