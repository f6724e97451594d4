"""Draw a run of the demo as `docs/demo.svg`, the picture in the README."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
HEAD, TAIL = 24, 14


def main() -> None:
    """Run the demo once more (its image is there by now) and draw what it printed."""
    demo = [sys.executable, str(ROOT / "examples" / "demo.py")]
    printed = subprocess.run(demo, check=True, capture_output=True, text=True).stdout.splitlines()
    lines = ["$ make demo", *printed[:HEAD], "    …", *printed[-TAIL:]]
    console = Console(record=True, width=112, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines)), no_wrap=True, overflow="crop")
    console.save_svg(str(ROOT / "docs" / "demo.svg"), title="tether")


if __name__ == "__main__":
    main()
