"""Exported variables: what `declare -px` prints of them, and changes to them. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

Changes = Mapping[str, str | None]
"""Values by name; None takes a variable away."""

_LINE = re.compile(rb"(?:declare -([A-Za-z]+)|export) ([A-Za-z_][A-Za-z0-9_]*)=")
_SIMPLE = {
    ord("a"): 7, ord("b"): 8, ord("e"): 27, ord("E"): 27, ord("f"): 12, ord("n"): 10,
    ord("r"): 13, ord("t"): 9, ord("v"): 11,
}  # fmt: skip
_LONGEST = 128 * 1024  # the kernel's limit for one string that a program is started with
_ENTRY = 10  # what a variable takes beside its name and value: `=`, an end, a pointer
_OCTAL = re.compile(rb"[0-7]{1,3}")


def changed_by(env: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """A copy of the environment with the changes made."""
    kept = {name: value for name, value in env.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def parse_exports(text: bytes) -> dict[str, str]:
    """The exported variables that have a value and are no arrays, up to a value without an end.

    Every command can write to where bash prints them, so anything may be there.
    """
    found: dict[str, str] = {}
    position = 0
    while match := _LINE.search(text, position):
        try:
            value, position = _value(text, match.end())
        except IndexError:
            break
        if value is not None and not set(match[1] or b"") & set(b"aA"):
            found[match[2].decode()] = os.fsdecode(value)
    return found


def passable(env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What a program can be started with, and the names of what is too long for that.

    The kernel takes 128 KiB for one variable; half of what it takes for all of them is left to
    arguments and to what is set later.
    """
    sizes = {name: len(os.fsencode(name)) + len(os.fsencode(value)) for name, value in env.items()}
    room = os.sysconf("SC_ARG_MAX") // 2
    kept: dict[str, str] = {}
    for name, size in sorted(sizes.items(), key=lambda item: item[1]):
        room -= size + _ENTRY
        if room < 0 or size + _ENTRY > _LONGEST:
            break
        kept[name] = env[name]
    return kept, sorted(env.keys() - kept.keys())


def _value(text: bytes, start: int) -> tuple[bytes | None, int]:
    """The value that begins here and where it ends; raises IndexError when it does not end."""
    if text[start : start + 1] == b'"':
        return _double_quoted(text, start + 1)
    if text[start : start + 2] == b"$'":
        return _ansi_quoted(text, start + 2)
    return None, start


def _double_quoted(text: bytes, position: int) -> tuple[bytes, int]:
    value = bytearray()
    while text[position] != ord('"'):
        position += text[position] == ord("\\")
        value.append(text[position])
        position += 1
    return bytes(value), position + 1


def _ansi_quoted(text: bytes, position: int) -> tuple[bytes, int]:
    value = bytearray()
    while text[position] != ord("'"):
        if text[position] != ord("\\"):
            value.append(text[position])
            position += 1
            continue
        byte, position = _escape(text, position + 1)
        value.append(byte)
    return bytes(value), position + 1


def _escape(text: bytes, position: int) -> tuple[int, int]:
    if octal := _OCTAL.match(text, position):
        return int(octal[0], 8) & 0xFF, octal.end()
    return _SIMPLE.get(text[position], text[position]), position + 1
