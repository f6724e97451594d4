"""Where each session was, for the client's next life: a session that goes on there goes on here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..private_files import read_small, write_small

log = logging.getLogger(__name__)


class SessionPlaces:
    """A file for each session, in a folder of ours; its content is a directory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._noted: dict[str, str] = {}
        self._earlier = dict(_places(folder))

    def earlier(self, name: str) -> str | None:
        """Where the session was in an earlier life of the client; None where there was none."""
        return self._earlier.get(name)

    def note(self, name: str, place: str) -> None:
        """Write it down, where it is another than before."""
        if self._noted.get(name) == place:
            return
        self._noted[name] = place
        try:
            write_small(self._folder / name, os.fsencode(place))
        except OSError as problem:  # a full disk, mostly
            log.warning("where session %r is cannot be noted: %s", name, problem)


def _places(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.iterdir():
        try:
            yield path.name, os.fsdecode(read_small(path))
        except OSError as problem:
            log.warning("where session %r was is lost: %s", path.name, problem)
