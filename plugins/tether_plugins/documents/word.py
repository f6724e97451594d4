"""DOCX to text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .reading import joined, library, opened, table

__all__ = ["parse_docx"]


def parse_docx(path: str) -> str:
    """The text of a Word document: headings begin with #, a table's row is a line.

    Args:
        path: the .docx file.
    """
    docx = library("docx", "parse_docx")
    with opened(path, "DOCX document") as place:
        return joined(_parts(docx.Document(str(place))))


def _parts(document: Any) -> Iterator[str]:
    for part in document.iter_inner_content():
        if hasattr(part, "rows"):
            yield table([cell.text for cell in row.cells] for row in part.rows)
        else:
            yield _marker(part.style.name if part.style is not None else "") + part.text


def _marker(style: str) -> str:
    """`# ` for a title, `## ` for a second heading, `- ` for what is in a list."""
    if style == "Title":
        return "# "
    if style.startswith("Heading ") and style[8:].isdecimal():
        return "#" * int(style[8:]) + " "
    return "- " if style.startswith("List") else ""
