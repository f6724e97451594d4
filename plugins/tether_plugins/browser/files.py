"""Files with what an observation only names: a folder for each, the oldest give way."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path

from . import limits

_UNPLAIN = re.compile(r"[^A-Za-z0-9._ -]+")
_NUMBERED = re.compile(r"(\d{5})-")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileStore:
    """All observations' files. `limit` is bytes. A file that cannot be written is an OSError."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._kept: deque[tuple[Path, int]] = deque()
        self._size = 0
        self._number = 0
        self._take_over()

    def keep(self, name: str, data: bytes) -> str:
        """The path of a new file with that; nothing half-written is left."""
        self._make_room(len(data))
        path = self.new(name)
        file = os.open(path, _NEW, 0o600)
        try:
            with open(file, "wb") as stream:
                stream.write(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._kept.append((path, len(data)))
        self._size += len(data)
        return str(path)

    def new(self, name: str) -> Path:
        """Where a file of that name may be made; its folder is there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._number += 1
        return self._folder / f"{self._number:05}-{name}"

    def adopt(self, path: Path) -> int:
        """Count a file that was written at a path of `new`; gives its size."""
        size = path.stat().st_size
        self._make_room(size)
        self._kept.append((path, size))
        self._size += size
        return size

    def _take_over(self) -> None:
        """What an earlier life of the plugin named can still be read, and is the oldest."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            number = _NUMBERED.match(path.name)
            if number is not None and not path.is_symlink() and path.is_file():
                self.adopt(path)
                self._number = int(number[1])

    def _make_room(self, size: int) -> None:
        while self._kept and (
            self._size + size > self._limit or len(self._kept) >= 3 * limits.OBSERVATIONS
        ):
            path, freed = self._kept.popleft()
            path.unlink(missing_ok=True)
            self._size -= freed


def plain_name(name: str) -> str:
    """A page's name for a file, as a name and nothing else."""
    plain = _UNPLAIN.sub("_", name.rpartition("/")[2]).strip(" .")
    return plain[:100] or "download"
