"""XLSX to text."""

from __future__ import annotations

from typing import Any

from .reading import AskedWrongly, joined, library, opened, table

__all__ = ["parse_xlsx"]


def parse_xlsx(path: str, sheet: str = "") -> str:
    """The values in a workbook, sheet by sheet, a row in a line.

    Args:
        path: the .xlsx file.
        sheet: the name of one sheet; all of them where none is named.
    """
    openpyxl = library("openpyxl", "parse_xlsx")
    with opened(path, "XLSX workbook") as place, open(place, "rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        names = [one.title for one in book.worksheets]
        if sheet and sheet not in names:
            raise AskedWrongly(f"{place} has no sheet {sheet!r}: it has {', '.join(names)}")
        wanted = [sheet] if sheet else names
        return joined(f"[Sheet {name}]\n{_rows(book[name])}" for name in wanted)


def _rows(sheet: Any) -> str:
    return table(
        ["" if value is None else str(value) for value in row]
        for row in sheet.iter_rows(values_only=True)
    )
