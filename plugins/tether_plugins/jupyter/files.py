"""Files with what was too long to be told: a folder for each cell, the oldest give way."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_FILES = 2000


class CellFiles:
    """The folder of one cell, made with its first file. Nothing here fails: it is told instead."""

    def __init__(self, folder: Path, owner: OutputFiles, size: int = 0) -> None:
        self._folder = folder
        self._owner = owner
        self._stream = -1
        self._full = False
        self.has_stream = False
        """Whether what the cell wrote is in a file."""
        self._count = 0
        self.size = size
        self.stream_path = str(folder / "output.txt")
        self.problem: str | None = None

    def keep(self, name: str, data: bytes) -> str | None:
        """The path of a new file with that; None where it could not be kept."""
        self._count += 1
        if self._count > _MOST_FILES:
            self._refuse(f"a cell may have {_MOST_FILES:,} files")
            return None
        path = self._folder / f"{self._count:04}-{name}"
        file = self._open(path, len(data))
        if file < 0:
            return None
        try:
            _write(file, data)
        except OSError as problem:
            with suppress(OSError):
                path.unlink()
            self._refuse(str(problem))
            return None
        finally:
            os.close(file)
        return str(path)

    def append(self, data: bytes) -> None:
        """More of what the cell writes to its streams, up to a piece that does not fit."""
        if self._full:
            return
        if self._stream < 0:
            self._stream = self._open(Path(self.stream_path), len(data))
        elif not self._owner.make_room(self, len(data)):
            self._refuse(f"a cell may keep {self._owner.cell_limit:,} bytes")
            self._full = True
        self._full = self._full or self._stream < 0
        self.has_stream = self._stream >= 0
        try:
            if not self._full:
                _write(self._stream, data)
        except OSError as problem:
            self._refuse(str(problem))
            self._full = True

    def close(self) -> None:
        """The files stay. Twice is safe."""
        if self._stream >= 0:
            os.close(self._stream)
            self._stream = -1

    def remove(self) -> None:
        """Give the room free."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self, path: Path, size: int) -> int:
        if not self._owner.make_room(self, size):
            self._refuse(f"a cell may keep {self._owner.cell_limit:,} bytes")
            return -1
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(path, _NEW, 0o600)
        except OSError as problem:
            self._refuse(str(problem))
            return -1

    def _refuse(self, problem: str) -> None:
        self.problem = self.problem or problem


class OutputFiles:
    """All cells' folders, below one. `cell_limit` and `limit` are bytes, of one and of all."""

    def __init__(self, folder: Path, cell_limit: int, limit: int) -> None:
        self._folder = folder
        self.cell_limit = cell_limit
        self._limit = max(limit, cell_limit)
        self._cells: dict[CellFiles, None] = {}
        self._size = 0
        for left in sorted(folder.glob("*"), key=_age):  # by an earlier life of the plugin
            size = sum(_size(file) for file in left.glob("*"))
            self._cells[CellFiles(left, self, size)] = None
            self._size += size

    def of(self, action_id: str) -> CellFiles:
        """The folder of a new cell."""
        plain = _PLAIN.fullmatch(action_id) is not None
        name = action_id if plain else hashlib.sha256(action_id.encode()).hexdigest()[:32]
        return CellFiles(self._folder / name, self)

    def make_room(self, cell: CellFiles, size: int) -> bool:
        """Whether a cell may keep so many bytes more. Older cells' files go for it."""
        if cell.size + size > self.cell_limit:
            return False
        self._cells.setdefault(cell)
        cell.size += size
        self._size += size
        while self._size > self._limit:
            oldest = next(other for other in self._cells if other is not cell)
            del self._cells[oldest]
            self._size -= oldest.size
            oldest.remove()
        return True


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _age(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
