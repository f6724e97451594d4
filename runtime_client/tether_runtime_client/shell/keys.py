"""Names of keys and the bytes a terminal sends for them."""

from __future__ import annotations

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
_FOLDED = MappingProxyType({name.casefold(): sent for name, sent in _NAMED.items()})
_CURSOR_KEYS = tuple(_NAMED[name] for name in ("Up", "Down", "Right", "Left", "Home", "End"))


def key_bytes(key: str, *, application: bool = False) -> bytes:
    """The bytes the key sends, in an xterm's encoding.

    Names are those of the table, in any case, with `C-` (control) and `M-` (meta) prefixes, or
    one character. `application` is how screen programs want their cursor keys: they switch it on
    (DECCKM) and read nothing else. Raises UnknownKey for anything else.
    """
    if key[:2] in ("M-", "m-") and len(key) > 2:
        return b"\x1b" + key_bytes(key[2:], application=application)
    if key[:2] in ("C-", "c-"):
        return _control(key, key[2:])
    if key[:1] == "^" and len(key) == 2:
        return _control(key, key[1:])
    named = _FOLDED.get(key.casefold())
    if named is not None:
        return b"\x1bO" + named[2:] if application and named in _CURSOR_KEYS else named
    if len(key) == 1 and key != "\0":
        return key.encode("utf-8", "surrogateescape")
    raise UnknownKey(key)


def _control(key: str, name: str) -> bytes:
    if name.casefold() == "space":
        return b"\0"
    if name == "?":
        return b"\x7f"
    if len(name) != 1 or not "@" <= name.upper() <= "_":
        raise UnknownKey(key)
    return bytes([ord(name.upper()) & 0x1F])
