"""Documents of four kinds, made by the libraries that write them, as text."""

from __future__ import annotations

import sys
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from tether_plugins.documents import parse_docx, parse_pdf, parse_pptx, parse_xlsx


def write_pdf(path: Path, *pages: str, password: str = "") -> None:
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    for text in pages:
        page = writer.add_blank_page(300, 300)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if password:
        writer.encrypt(password, algorithm="AES-256")
    writer.write(path)


def test_pdf_page_by_page(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write_pdf(path, "Results", "", "The end")
    text = parse_pdf(str(path))
    assert text == (
        "[Page 1]\nResults\n\n[Page 2]\n(no text: it may be a picture)\n\n[Page 3]\nThe end"
    )
    assert repr(text) == text  # as the last value of a cell
    assert parse_pdf(str(path), pages="3, 1-1") == "[Page 3]\nThe end\n\n[Page 1]\nResults"
    for pages, why in {"4": "from 1 to 3", "0-1": "from 1", "2-1": "from 1", "x": "like"}.items():
        with pytest.raises(ValueError, match=why):
            parse_pdf(str(path), pages=pages)


def test_an_encrypted_pdf_is_opened_by_its_password(tmp_path: Path) -> None:
    path = tmp_path / "secret.pdf"
    write_pdf(path, "Hidden", password="key")
    with pytest.raises(ValueError, match="is encrypted, and password does not open it"):
        parse_pdf(str(path))
    assert "Hidden" in parse_pdf(str(path), password="key")


def test_word_with_headings_lists_and_tables_in_order(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Report", 0)
    document.add_heading("Part", 2)
    document.add_paragraph("First.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "a\nb", "c"
    document.add_paragraph("item", style="List Bullet")
    document.save(str(tmp_path / "report.docx"))
    text = parse_docx(str(tmp_path / "report.docx"))
    assert text == "# Report\n\n## Part\n\nFirst.\n\na b | c\n\n- item"


def test_sheets_with_values(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    first.title = "Sums"
    first.append(["x", 1, 2.5])
    first.append([])
    first.append([None, "y"])
    book.create_sheet("Empty")
    book.save(tmp_path / "book.xlsx")
    path = str(tmp_path / "book.xlsx")
    assert parse_xlsx(path) == "[Sheet Sums]\nx | 1 | 2.5\n | y\n\n[Sheet Empty]"
    assert parse_xlsx(path, sheet="Empty") == "[Sheet Empty]"
    with pytest.raises(ValueError, match="it has Sums, Empty"):
        parse_xlsx(path, sheet="Other")


def test_slides_with_tables_and_notes(tmp_path: Path) -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    assert slide.shapes.title is not None
    slide.shapes.title.text = "Plan"
    cells = slide.shapes.add_table(1, 2, 0, 0, 9999, 9999).table.rows[0].cells
    cells[0].text, cells[1].text = "when", "now"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 99, 99).text_frame.text = "inside"
    notes = slide.notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "Speak up"
    show.save(str(tmp_path / "show.pptx"))
    text = parse_pptx(str(tmp_path / "show.pptx"))
    assert text == "[Slide 1]\nPlan\nwhen | now\ninside\n(Notes: Speak up)"


@pytest.mark.parametrize("parse", [parse_pdf, parse_docx, parse_xlsx, parse_pptx])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"%PDF-1.4\n%%EOF", b"\x00" * 99])
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_such_document_is_told(parse: object, data: bytes, tmp_path: Path) -> None:
    assert callable(parse)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged is no .* that can be read"):
        parse(str(path))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        parse(str(tmp_path / "absent"))


def test_without_the_library_it_says_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(ImportError, match="call it in a shell, skill parse_pdf PATH"):
        parse_pdf(str(tmp_path))
