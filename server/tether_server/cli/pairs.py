"""Pairs of ports as arguments: where one connects, a colon, and where that leads."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ..plugins.ports import is_plugin_port

HIGHEST = 65535


def port_pair(text: str, *, names: bool = False) -> tuple[int | str, int | str]:
    """Both ends, each a port or an absolute path; the first is 0 where any will do.

    With `names` the second may be the name of a plugin's port.

    Raises `click.UsageError`.
    """
    if not text:
        raise click.UsageError("an empty word is no pair of ports, such as 5051:5050")
    first, colon, second = text.rpartition(":")
    named = names and is_plugin_port(second)
    end = second if named else _end(second, text)
    if not colon:
        if named:
            return 0, end
        if isinstance(end, str):
            raise click.UsageError(f"{text}: say where, as in 8000:{text}")
        return end, end
    return (0 if not first else _end(first, text)), end


def is_port_pair(text: str) -> bool:
    """Whether it can be read as one."""
    try:
        return bool(port_pair(text))
    except click.UsageError:
        return False


def port_pairs(texts: Iterable[str], *, names: bool = False) -> list[tuple[int | str, int | str]]:
    """All of them; a target has one port where one connects. Raises `click.UsageError`."""
    pairs, known = [], set[tuple[str, int | str]]()
    for text in texts:
        at, leads_to = pair = port_pair(text, names=names)
        key = (at if isinstance(at, str) else "", leads_to)
        if key in known:
            raise click.UsageError(f"{leads_to} is given twice, and is mapped once: leave one out")
        known.add(key)
        pairs.append(pair)
    return pairs


def _end(word: str, text: str) -> int | str:
    if word.startswith("/"):
        return word
    if word.isascii() and word.isdecimal() and 0 < int(word) <= HIGHEST:
        return int(word)
    if word.isascii() and word.removeprefix("-").isdecimal():
        hint = "ports are 1 to 65535, and :5050 takes any here"
        raise click.UsageError(f"{text}: there is no port {word}; {hint}")
    raise click.UsageError(f"{text} is no pair of ports, such as 5051:5050")
