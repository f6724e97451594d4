"""How much a tree takes on its disks."""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass, field
from typing import Any

from ..globs import Globs
from ..inode import allocated
from .walk import Found, Walk


@dataclass(frozen=True, slots=True)
class Usage:
    """What to count; folders down to `depth` are told one by one, the `limit` largest of them."""

    path: str
    depth: int
    limit: int
    exclude: tuple[str, ...]
    one_file_system: bool


@dataclass(slots=True)
class _Sum:
    size: int = 0
    allocated: int = 0
    files: int = 0
    folders: int = 0

    def add(self, found: Found) -> None:
        self.size += 0 if found.is_folder else found.attributes.st_size
        self.allocated += allocated(found.attributes)
        self.files += not found.is_folder
        self.folders += found.is_folder

    def item(self) -> dict[str, int]:
        return {
            "size": self.size,
            "allocated": self.allocated,
            "files": self.files,
            "directories": self.folders,
        }


@dataclass(slots=True)
class Counting:
    """One count. `run` may be left with any exception: `result` has what was counted until then."""

    wanted: Usage
    _walk: Walk = field(init=False)
    _total: _Sum = field(default_factory=_Sum)
    #: Each begins below none, because the first that is added to it is the folder itself.
    _folders: dict[str, _Sum] = field(default_factory=dict)
    #: Names of one file count once.
    _linked: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._walk = Walk(
            self.wanted.path,
            exclude=Globs(self.wanted.exclude) if self.wanted.exclude else None,
            one_file_system=self.wanted.one_file_system,
        )

    def run(self) -> None:
        """Walk all of it. Raises OSError for the top alone."""
        self._total.allocated = allocated(os.stat(self.wanted.path))
        for found in self._walk:
            if self._is_known(found):
                continue
            self._total.add(found)
            parts = found.path.split("/", self.wanted.depth)
            inside = len(parts) if found.is_folder else len(parts) - 1
            for depth in range(1, min(inside, self.wanted.depth) + 1):
                folder = "/".join(parts[:depth])
                self._folders.setdefault(folder, _Sum(folders=-1)).add(found)

    def result(self) -> dict[str, Any]:
        """The sums, and what the file system has left."""
        disk = os.statvfs(self.wanted.path)
        largest = heapq.nsmallest(
            self.wanted.limit, self._folders.items(), key=lambda each: (-each[1].allocated, each[0])
        )
        return {
            **self._total.item(),
            "entries": [{"path": path, **entry.item()} for path, entry in largest],
            "omitted": len(self._folders) - len(largest),
            "unreadable": self._walk.unreadable,
            "disk_total": disk.f_blocks * disk.f_frsize,
            "disk_free": disk.f_bavail * disk.f_frsize,
            "inodes_total": disk.f_files,
            "inodes_free": disk.f_favail,
        }

    def _is_known(self, found: Found) -> bool:
        attributes = found.attributes
        if found.is_folder or attributes.st_nlink < 2:
            return False
        identity = (attributes.st_dev, attributes.st_ino)
        known = identity in self._linked
        self._linked.add(identity)
        return known
