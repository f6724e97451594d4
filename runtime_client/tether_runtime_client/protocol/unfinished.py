"""What a receiver that dies leaves half there: noted while it is made, and removed by the next."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path

from .merging import remove_tree

_NAME = re.compile(r"\.tether-[0-9a-f]{16}\.part")

log = logging.getLogger(__name__)


class Unfinished:
    """A folder with a note for each file or tree that is being received.

    One process writes there at a time. Where there is no room for a note, there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def note(self, temporary: Path) -> None:
        """This is about to be made."""
        with suppress(OSError):
            (self._folder / temporary.name).write_bytes(os.fsencode(temporary.absolute()))

    def forget(self, temporary: Path) -> None:
        """It has its final name, or is gone. Twice is safe."""
        with suppress(OSError):
            (self._folder / temporary.name).unlink()

    def left(self) -> list[Path]:
        """The notes that a former process left, for `sweep`."""
        try:
            return [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        except OSError:
            return []

    def sweep(self, notes: list[Path]) -> None:
        """Remove what they are about, and them. Blocking."""
        for note in notes:
            try:
                left = Path(os.fsdecode(note.read_bytes()))
                if left.name == note.name:  # else the note is none of ours
                    remove_tree(left)
                note.unlink()
            except (OSError, ValueError) as problem:
                log.warning("what an upload left half there cannot be removed: %s", problem)
