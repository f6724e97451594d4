"""What the readers of documents have in common. Nothing here is a skill."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Text(str):
    """Text that a notebook shows as it is, and not with its line ends spelt out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def library(name: str, skill: str) -> Any:
    """Imports a library at the skill's first use; raises an `ImportError` that says what to do."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise ImportError(
            f"{skill} needs {name.partition('.')[0]}, which this Python cannot import ({problem}):"
            f" call it in a shell, skill {skill} PATH"
        ) from None


@contextmanager
def opened(path: str | os.PathLike[str], what: str) -> Iterator[Path]:
    """The path of a file that is there; what a library finds wrong in it is a `ValueError`.

    A damaged document makes these libraries raise nearly anything.
    """
    place = Path(os.path.abspath(os.path.expanduser(path)))
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {place}")
    try:
        yield place
    except (OSError, ImportError, AskedWrongly):
        raise
    except Exception as problem:
        raise ValueError(f"{place} is no {what} that can be read: {problem!r}") from None


class AskedWrongly(ValueError):
    """The document can be read, and does not have what was asked for."""


def table(rows: Iterable[Iterable[str]]) -> str:
    """A row in a line, its cells between bars, each cell in one line."""
    lines = (" | ".join(" ".join(cell.split()) for cell in row) for row in rows)
    return "\n".join(line.rstrip(" |") for line in lines if line.strip(" |"))


def joined(parts: Iterable[str]) -> Text:
    """Parts that hold something, with an empty line between them."""
    return Text("\n\n".join(part.strip("\n") for part in parts if part.strip()))
