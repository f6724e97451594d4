"""The libraries that read documents, in images that have no libc of theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest

from tether_server import CmdRunAction, SyncEventStreamRuntime

from .test_documents import write_pdf

ROOT = Path(__file__).parent.parent.parent.parent


def write_all(folder: Path) -> None:
    write_pdf(folder / "a.pdf", "Hidden", password="key")  # AES, by cryptography
    document = docx.Document()
    document.add_paragraph("Words")
    document.save(str(folder / "a.docx"))
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Cell"])
    book.save(folder / "a.xlsx")
    show = pptx.Presentation()
    title = show.slides.add_slide(show.slide_layouts[5]).shapes.title
    assert title is not None
    title.text = "Slide"
    show.save(str(folder / "a.pptx"))


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("image", ["busybox", "musl", "debian:bookworm"])
def test_documents_are_read_in_an_image(image: str, engine: str, tmp_path: Path) -> None:
    make = [ROOT / "docker/images/make-image", "--print-tag", image]
    tag = subprocess.run(make, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "docs").mkdir()
    write_all(tmp_path / "docs")
    with SyncEventStreamRuntime(tag, plugins=["agent_skills", "documents"]) as runtime:
        runtime.upload(tmp_path / "docs", "/docs")
        for call, text in {
            "parse_pdf /docs/a.pdf --password key": "[Page 1]\nHidden\n",
            "parse_docx /docs/a.docx": "Words\n",
            "parse_xlsx /docs/a.xlsx": "[Sheet Sheet]\nCell\n",
            "parse_pptx /docs/a.pptx": "[Slide 1]\nSlide\n",
        }.items():
            done = runtime.run(CmdRunAction(command=f"skill {call}"))
            assert (done.exit_code, done.content) == (0, text)
