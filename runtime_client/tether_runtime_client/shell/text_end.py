"""Where a command's text ends, for what a shell carries on from it (`$_`). Pure.

`eval` overwrites `$_` with its own last word, so it has to be saved from within, by a line of ours
after the command's text; that line may never become a part of the text. Doubt counts as no.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

_SHOWS_ALL = r"(?!(?:declare|typeset|local|readonly|set)\b)"  # `$_` too
_PLAIN = re.compile(rf"\s*{_SHOWS_ALL}([\w@%+:,./-]+)(?:[ \t]+([\w@%+:,./=-]+))*\s*", re.ASCII)
_CONTINUES = re.compile(r"(?:\||&&|\\)(?:\s*#.*)?\Z")
_HEADS = re.compile(r"(?:\(\s*\)|\b(?:function|select|for)\s+\S+)(?:\s*#.*)?\Z")
_VERBOSE = re.compile(r"\bset(?:\s+[-+]\w+)*\s+[-+]\w*v|verbose")  # shows lines as they are read
_HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\"|&;<>()`$]+))")


def plain_last_word(text: str) -> str | None:
    """The last word of a simple command without anything to expand: `$_` becomes that."""
    found = _PLAIN.fullmatch(text)
    return found and (found[2] or found[1])


def has_command(text: str) -> bool:
    """Whether there is more in it than blanks and lines of comments."""
    return bool(_last_line(text))


def takes_line_after(text: str) -> bool:
    """Whether a line after this text is a command of its own, shown to nobody.

    Not where there is no command in it, where it ends in an operator, a backslash, a
    here-document or the head of a function or loop, where it may switch `set -v` on, and where an
    open condition or array would have bash complain of this line's words.
    """
    if text.count("[[") > text.count("]]"):
        return False
    if "=(" in text and text.count("(") > text.count(")"):
        return False
    last = _last_line(text)
    if not last or _CONTINUES.search(last) or text.endswith("\\"):
        return False
    if _HEADS.search(last):
        return False
    if "<<" in text and _ends_in_here_document(text):
        return False
    return _VERBOSE.search(text) is None


def _last_line(text: str) -> str:
    """The last line that is neither blank nor a comment alone; empty when there is none."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end].strip()
        if line and line[0] != "#":
            return line
        end = start - 1
    return ""


def _ends_in_here_document(text: str) -> bool:
    """Whether some `<<` has no line that ends it, as far as can be told without a parser."""
    open_ones: deque[tuple[bool, str]] = deque()
    for line in text.split("\n"):
        if not open_ones:
            open_ones.extend(_here_documents(line))
            continue
        indented, word = open_ones[0]
        if (line.lstrip("\t") if indented else line) == word:
            open_ones.popleft()
    return bool(open_ones)


def _here_documents(line: str) -> Iterator[tuple[bool, str]]:
    for match in _HERE_DOCUMENT.finditer(line.replace("<<<", "")):
        dash, *words = match.groups()
        word = next(word for word in words if word is not None)
        yield bool(dash), word.replace("\\", "")
