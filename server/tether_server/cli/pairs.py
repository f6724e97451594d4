"""Pairs of ports as arguments: where one connects, a colon, and where that leads."""

from __future__ import annotations

import click

HIGHEST = 65535


def port_pair(text: str) -> tuple[int | str, int | str]:
    """Both ends, each a port or an absolute path; the first is 0 where any will do.

    Raises `click.UsageError`.
    """
    first, colon, second = text.rpartition(":")
    end = _end(second, text)
    if not colon:
        if isinstance(end, str):
            raise click.UsageError(f"{text}: say where, as in 8000:{text}")
        return end, end
    return (0 if not first else _end(first, text)), end


def _end(word: str, text: str) -> int | str:
    if word.startswith("/"):
        return word
    if word.isascii() and word.isdecimal() and 0 < int(word) <= HIGHEST:
        return int(word)
    raise click.UsageError(f"{text} is no pair of ports, such as 5051:5050")
