"""PDF to text."""

from __future__ import annotations

from .reading import AskedWrongly, joined, library, opened

__all__ = ["parse_pdf"]


def parse_pdf(path: str, pages: str = "", password: str = "") -> str:
    """The text of a PDF file, page by page.

    Args:
        path: the file.
        pages: which ones, such as "1-3,7"; all of them where nothing is named.
        password: what opens an encrypted file.
    """
    pypdf = library("pypdf", "parse_pdf")
    with opened(path, "PDF") as place, open(place, "rb") as file:
        reader = pypdf.PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(password):
            raise AskedWrongly(f"{place} is encrypted, and password does not open it")
        numbers = _numbers(pages, len(reader.pages))
        return joined(_page(number, reader.pages[number - 1].extract_text()) for number in numbers)


def _page(number: int, text: str) -> str:
    return f"[Page {number}]\n{text.strip() or '(no text: it may be a picture)'}"


def _numbers(pages: str, total: int) -> list[int]:
    """What "1-3,7" names, of as many pages as there are."""
    if not pages:
        return list(range(1, total + 1))
    found: list[int] = []
    for part in pages.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise AskedWrongly(f'pages has to be like "1-3,7", and is {pages!r}')
        if not 1 <= int(first) <= int(last or first) <= total:
            raise AskedWrongly(f"pages have to be from 1 to {total}, and {part.strip()} are not")
        found.extend(range(int(first), int(last or first) + 1))
    return found
