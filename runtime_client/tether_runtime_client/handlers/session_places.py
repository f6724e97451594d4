"""Where each session was, for the client's next life: a session that goes on there goes on here."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class SessionPlaces:
    """A file for each session, in a folder of ours; its content is a directory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._noted: dict[str, str] = {}
        self._earlier = {path.name: os.fsdecode(path.read_bytes()) for path in folder.iterdir()}

    def earlier(self, name: str) -> str | None:
        """Where the session was in an earlier life of the client; None where there was none."""
        return self._earlier.get(name)

    def note(self, name: str, place: str) -> None:
        """Write it down, where it is another than before."""
        if self._noted.get(name) == place:
            return
        self._noted[name] = place
        try:
            (self._folder / name).write_bytes(os.fsencode(place))
        except OSError as problem:  # a full disk, mostly
            log.warning("where session %r is cannot be noted: %s", name, problem)
