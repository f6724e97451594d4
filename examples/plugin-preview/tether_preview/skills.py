"""What an agent may call, in a cell or a shell."""

from pathlib import Path

from . import pages

__all__ = ["check_links"]


def check_links(path: str) -> list[str]:
    """The links of a Markdown file that lead to no file, each with its line.

    Args:
        path: the Markdown file.
    """
    page = Path(path)
    text = page.read_text(encoding="utf-8")
    return [f"{path}:{line}: {target}" for line, target in pages.broken_links(page, text)]
