"""What is in a Markdown page. Nothing here knows of Tether."""

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(<?([^)<>\s]+)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//", re.IGNORECASE)


def title(text: str) -> str:
    """Its first heading."""
    found = re.search(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    return found[1] if found else ""


def broken_links(page: Path, text: str) -> Iterator[tuple[int, str]]:
    """The line and target of each link that leads to no file."""
    for number, line in enumerate(text.splitlines(), 1):
        for target in LINK.findall(line):
            leads_here = not ELSEWHERE.match(target)
            if leads_here and not (page.parent / target.partition("#")[0]).exists():
                yield number, target
