"""Read documents as text: what an agent calls in a Jupyter cell or by `skill` in a shell.

    from tether_plugins.documents import parse_pdf
    text = parse_pdf("report.pdf", pages="1-3")

Each function returns the document's text, which shows itself as it is at the end of a cell.
"""

from .pdf import parse_pdf
from .presentations import parse_pptx
from .spreadsheets import parse_xlsx
from .word import parse_docx

__all__ = ["parse_docx", "parse_pdf", "parse_pptx", "parse_xlsx"]
