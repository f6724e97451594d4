"""Words for people: sizes, ages, and text from a sandbox made safe for a terminal."""

from __future__ import annotations

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def visible(text: str) -> str:
    """The text with everything that is no printable character written as an escape."""
    if text.isprintable():
        return text
    return "".join(_visible_character(c) for c in text)


def harmless(text: str) -> str:
    """Text of several lines without anything that a terminal would act on."""
    return "\n".join(
        "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)
        for line in text.split("\n")
    )


def shortened(text: str, width: int) -> str:
    """The text in one line of `width` characters, its middle left out where it is longer."""
    if len(text) <= width:
        return clipped(visible(text), width)
    half = width // 2  # cut first, so that the work is small however long the text is
    return clipped(f"{visible(text[:half])} … {visible(text[-half:])}", width)


def clipped(line: str, width: int) -> str:
    """A line without its middle where it is longer than `width`."""
    if len(line) <= width:
        return line
    half = (width - 3) // 2
    return f"{line[:half]} … {line[-half:]}"


def size(count: int) -> str:
    """A number of bytes for people: `1 byte`, `999 bytes`, `1.2 kB`, `3.4 MB`."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    amount, units = count / 1000, ["kB", "MB", "GB"]
    while amount >= 999.95 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:,.1f} {units[0]}"


def age(seconds: float) -> str:
    """A span of time in its two largest units: `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _visible_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
