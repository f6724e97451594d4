"""Text as words of shell language, whatever it contains. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import CommandInvalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANSI_C = {
    ord("\\"): "\\\\",
    ord("'"): "\\'",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\x01"): "\\001",
    ord("\x7f"): "\\177",
}
# In some locales (GBK, BIG5) a backslash can be the second byte of a character, and bash would take
# one of ours for that behind bytes of UTF-8. So these are escaped themselves, where one follows.
_BEFORE_ESCAPE = re.compile(rb"[\x80-\xff]+(?=\\|\Z)")


def quote(text: str) -> bytes:
    """The text as one bash word on one line, whatever it contains. Raises CommandInvalid."""
    if "\0" in text:
        raise CommandInvalid("a NUL byte cannot be passed to a shell; write it as \\0 in printf")
    try:
        quoted = text.translate(_ANSI_C).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise CommandInvalid(f"not text: a lone surrogate at position {error.start}") from None
    if not text.isascii():
        quoted = _BEFORE_ESCAPE.sub(_in_octal, quoted)
    return b"$'" + quoted + b"'"


def _in_octal(found: re.Match[bytes]) -> bytes:
    return b"".join(b"\\%o" % byte for byte in found[0])


def assignments(env: Mapping[str, str] | None) -> bytes:
    """Assignments before a command, which hold for it alone. Raises CommandInvalid."""
    if not env:
        return b""
    for name in env:
        if not _NAME.fullmatch(name):
            raise CommandInvalid(f"{name!r} is not a variable name a shell can set")
    return b"".join(name.encode() + b"=" + quote(value) + b" " for name, value in env.items())


def plain_path(path: str) -> str:
    """A path that `cd` takes as it is: not `-`, and not looked up in CDPATH."""
    if not path:
        raise CommandInvalid("an empty working directory; leave it out or name one")
    return path if path.startswith("/") else "./" + path
