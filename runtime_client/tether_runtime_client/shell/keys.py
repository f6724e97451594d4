"""Names of keys and the bytes a terminal sends for them."""

from __future__ import annotations

import re
from types import MappingProxyType

from .errors import UnknownKey

_NAMED = MappingProxyType(
    {
        "Enter": b"\r",
        "Return": b"\r",
        "Tab": b"\t",
        "Backtab": b"\x1b[Z",
        "Space": b" ",
        "Escape": b"\x1b",
        "Esc": b"\x1b",
        "Backspace": b"\x7f",
        "Delete": b"\x1b[3~",
        "Insert": b"\x1b[2~",
        "Up": b"\x1b[A",
        "Down": b"\x1b[B",
        "Right": b"\x1b[C",
        "Left": b"\x1b[D",
        "Home": b"\x1b[H",
        "End": b"\x1b[F",
        "PageUp": b"\x1b[5~",
        "PageDown": b"\x1b[6~",
        "F1": b"\x1bOP",
        "F2": b"\x1bOQ",
        "F3": b"\x1bOR",
        "F4": b"\x1bOS",
        "F5": b"\x1b[15~",
        "F6": b"\x1b[17~",
        "F7": b"\x1b[18~",
        "F8": b"\x1b[19~",
        "F9": b"\x1b[20~",
        "F10": b"\x1b[21~",
        "F11": b"\x1b[23~",
        "F12": b"\x1b[24~",
    }
)
_FOLDED = MappingProxyType(
    {name.casefold(): sent for name, sent in _NAMED.items()}
    | {f"arrow{name}".casefold(): _NAMED[name] for name in ("Up", "Down", "Right", "Left")}
    | {"del": _NAMED["Delete"], "ins": _NAMED["Insert"]}
    | {"pgup": _NAMED["PageUp"], "pgdn": _NAMED["PageDown"], "pgdown": _NAMED["PageDown"]}
)
_CURSOR_KEYS = tuple(_NAMED[name] for name in ("Up", "Down", "Right", "Left", "Home", "End"))
_MODIFIER = re.compile(r"(?:(s|shift)|(m|meta|alt|option)|(c|ctrl|control))[-+](?=.)", re.I)
_SHIFT, _META, _CONTROL = 1, 2, 4  # as xterm counts them
_FUNCTIONAL = re.compile(rb"\x1b[\[O]([0-9]*)([A-SZ~])")


def key_bytes(key: str, *, application: bool = False) -> bytes:
    """The bytes the key sends, in an xterm's encoding.

    Names are those of the table, in any case, or one character, with the prefixes `C-` (control),
    `M-` (meta) and `S-` (shift) in any order; `Ctrl+`, `Alt+`, `Shift+` and `ArrowUp`, as browsers
    and people call them, are the same. `application` is how screen programs want their cursor keys:
    they switch it on (DECCKM) and read nothing else. Raises UnknownKey for anything else.
    """
    modifiers, name = _modifiers(key)
    named = _FOLDED.get(name.casefold())
    if name[:1] == "^" and len(name) == 2 and not modifiers:
        return _control(key, name[1:])
    if named is not None and (functional := _FUNCTIONAL.fullmatch(named)):
        if modifiers:
            return _modified(functional, modifiers)
        return b"\x1bO" + named[2:] if application and named in _CURSOR_KEYS else named
    prefix = b"\x1b" if modifiers & _META else b""
    if modifiers & _CONTROL:
        return prefix + _control(key, name)
    if named is not None:
        backtab = modifiers & _SHIFT and named == _NAMED["Tab"]
        return prefix + (_NAMED["Backtab"] if backtab else named)
    if len(name) != 1 or name == "\0" or (modifiers & _SHIFT and not name.isalpha()):
        raise UnknownKey(key)
    typed = name.upper() if modifiers & _SHIFT else name
    return prefix + typed.encode("utf-8", "surrogateescape")


def _modifiers(key: str) -> tuple[int, str]:
    """The modifiers, and the name behind them."""
    modifiers, start = 0, 0
    while found := _MODIFIER.match(key, start):
        for value, part in zip((_SHIFT, _META, _CONTROL), found.groups(), strict=True):
            modifiers |= value if part else 0
        start = found.end()
    return modifiers, key[start:]


def _modified(functional: re.Match[bytes], modifiers: int) -> bytes:
    number, final = functional[1] or b"1", functional[2]
    if final == b"Z":  # it is Shift and Tab already
        return functional[0]
    return b"\x1b[%b;%d%b" % (number, 1 + modifiers, final)


def _control(key: str, name: str) -> bytes:
    if name.casefold() == "space":
        return b"\0"
    if name == "?":
        return b"\x7f"
    if len(name) != 1 or not "@" <= name.upper() <= "_":
        raise UnknownKey(key)
    return bytes([ord(name.upper()) & 0x1F])
