"""The commands of a shell script, found by a real parser of the shell's grammar.

So a comment, a quoted word and the body of a here-document are what they are, and no command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

UNKNOWN = "\0"  # stands in a word for what is known only when it runs
_WORDS = {"word", "string", "raw_string", "ansi_c_string", "concatenation", "number"}
_EXPANSIONS = {"simple_expansion", "expansion", "command_substitution", "process_substitution"}
_COMMANDS = {
    "command",
    "declaration_command",
    "test_command",
    "unset_command",
    "variable_assignment",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Command:
    """A simple command.

    Attributes:
        words: the program and its arguments, as far as they are known before it runs.
        line: of the script, from 1.
        assignments: the variables that are set for it, or by it where there is no program.
        written: paths that its output is redirected to.
        document: the body of its here-document.
    """

    words: tuple[str, ...]
    line: int
    assignments: dict[str, str] = field(default_factory=dict)
    written: tuple[str, ...] = ()
    document: str = ""


def commands(script: str) -> Iterator[Command]:
    """All simple commands in the order in which they are written."""
    tree = _parser().parse(script.encode())
    yield from _commands(tree.root_node, None)


def first_error(script: str) -> int | None:
    """The line, from 1, where a script stops to be one; None where it is one to its end."""
    if _is_script(script):
        return None
    lines = script.split("\n")
    good = (count for count in range(len(lines) - 1, 0, -1) if _is_script("\n".join(lines[:count])))
    return next(good, 0) + 1


def _is_script(text: str) -> bool:
    return not _parser().parse(text.encode()).root_node.has_error


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def _commands(node: Node, redirected: Node | None) -> Iterator[Command]:
    """`redirected` is the statement around a command that says where its output goes."""
    if node.type in _COMMANDS:
        yield _command(node, redirected)
        for child in node.named_children:
            yield from _inner(child)
        return
    around = node if node.type == "redirected_statement" else None
    for child in node.named_children:
        yield from _commands(child, around)


def _inner(node: Node) -> Iterator[Command]:
    """Commands within a word or an assignment."""
    is_script = node.type in ("command_substitution", "process_substitution")
    for child in node.named_children:
        yield from _commands(child, None) if is_script else _inner(child)


def _command(node: Node, redirected: Node | None) -> Command:
    words: list[str] = []
    assignments: dict[str, str] = {}
    if node.type in ("declaration_command", "test_command", "unset_command"):
        words.append(_text(node.children[0]))  # `export`, `[`, `unset`
    if node.type == "test_command":
        words += _words_below(node)
    for child in [node] if node.type == "variable_assignment" else node.named_children:
        if child.type == "variable_assignment":
            assignments |= _assignment(child)
        elif child.type == "command_name":
            words += [_value(part) for part in child.named_children]
        elif child.type in _WORDS | _EXPANSIONS | {"variable_name"}:
            words.append(_value(child))
    written, document = _redirections(node, redirected)
    line = node.start_point[0] + 1
    return Command(tuple(words), line, assignments, written, document)


def _words_below(node: Node) -> Iterator[str]:
    """Of an expression, however it is nested."""
    for child in node.named_children:
        if child.type in _WORDS | _EXPANSIONS:
            yield _value(child)
        else:
            yield from _words_below(child)


def _assignment(node: Node) -> dict[str, str]:
    name = node.child_by_field_name("name")
    value = node.child_by_field_name("value")
    if name is None:
        return {}
    return {_text(name): "" if value is None else _value(value)}


def _redirections(node: Node, redirected: Node | None) -> tuple[tuple[str, ...], str]:
    written: list[str] = []
    document = ""
    for place in (node, redirected):
        for found in _below(place, {"file_redirect", "heredoc_body"}) if place else ():
            if found.type == "heredoc_body":
                document = _text(found)
            elif _text(found).lstrip("0123456789&").startswith(">"):
                target = found.child_by_field_name("destination")
                written += [] if target is None else [_value(target)]
    return tuple(written), document


def _below(node: Node, kinds: set[str]) -> Iterator[Node]:
    for child in node.named_children:
        if child.type in kinds:
            yield child
        elif child.type in ("heredoc_redirect", "redirected_statement"):
            yield from _below(child, kinds)


def _value(node: Node) -> str:
    """A word as the program gets it; what is not known yet is `UNKNOWN`."""
    if node.type in _EXPANSIONS:
        return UNKNOWN
    if node.type == "raw_string":
        return _text(node)[1:-1]
    if node.type == "ansi_c_string":
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), _text(node)[2:-1])
    if node.type == "string":
        return _quoted(node)
    if node.type == "concatenation":
        return "".join(map(_value, node.children))
    return re.sub(r"\\(.)", r"\1", re.sub(r"\\\n", "", _text(node)))


def _quoted(node: Node) -> str:
    """Of a string in double quotes; what lies between its parts belongs to it too."""
    source = _text(node)
    parts, at = [], 1
    for child in node.named_children:
        if child.type in _EXPANSIONS:
            start, end = (place - node.start_byte for place in (child.start_byte, child.end_byte))
            parts += [source.encode()[at:start].decode(), UNKNOWN]
            at = end
    parts.append(source.encode()[at:].decode()[:-1])
    return re.sub(r'\\([\\"$`\n])', lambda found: found[1].strip("\n"), "".join(parts))


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
