"""Commands that were reported as going on, for the client's next life: it tells of their ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..private_files import read_small, write_small

log = logging.getLogger(__name__)


class Left(NamedTuple):
    """A command that ended with an earlier client, and how much of its output had been seen."""

    action_id: str
    session: str
    total_bytes: int


class GoingOn:
    """A file for each such command, in a folder of ours; it goes when the command's end is told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder

    def note(self, command: Left) -> None:
        """Write it down."""
        try:
            text = f"{command.session}\n{command.total_bytes}"
            write_small(self._folder / command.action_id, text.encode())
        except OSError as problem:  # a full disk, mostly
            log.warning("the command %s cannot be noted: %s", command.action_id, problem)

    def forget(self, action_id: str) -> None:
        """Its end was told."""
        try:
            os.unlink(self._folder / action_id)
        except OSError as problem:  # it could not be noted
            log.warning("the command %s cannot be forgotten: %s", action_id, problem)

    def left(self) -> Iterator[Left]:
        """What an earlier life has left; each is forgotten behind its turn."""
        for path in sorted(self._folder.iterdir()):
            try:
                session, _, total = read_small(path).decode().rpartition("\n")
                yield Left(path.name, session, int(total))
            except (OSError, ValueError) as problem:
                log.warning("which command went on as %s is lost: %s", path.name, problem)
            self.forget(path.name)
