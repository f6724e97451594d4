"""PPTX to text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .reading import joined, library, opened, table

__all__ = ["parse_pptx"]


def parse_pptx(path: str) -> str:
    """The text of a presentation, slide by slide, with tables and speaker's notes.

    Args:
        path: the .pptx file.
    """
    pptx = library("pptx", "parse_pptx")
    with opened(path, "PPTX presentation") as place:
        slides = pptx.Presentation(str(place)).slides
        return joined(_slide(number, slide) for number, slide in enumerate(slides, 1))


def _slide(number: int, slide: Any) -> str:
    parts = [f"[Slide {number}]", *_texts(slide.shapes)]
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame.text):
        parts.append(f"(Notes: {notes})")
    return "\n".join(part for part in parts if part.strip())


def _texts(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):  # a group
            yield from _texts(shape.shapes)
        elif getattr(shape, "has_table", False):
            yield table([cell.text for cell in row.cells] for row in shape.table.rows)
        elif shape.has_text_frame:
            yield shape.text_frame.text
