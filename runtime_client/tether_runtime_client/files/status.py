"""What there is to know about a file without reading it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ..inode import FileType, allocated, type_of
from .errors import about


@dataclass(frozen=True, slots=True)
class Status:
    """A file's attributes. `real_path` is where all links lead, `target` a link's own text."""

    path: str
    real_path: str
    type: FileType
    attributes: os.stat_result
    target: str | None

    @property
    def allocated(self) -> int:
        """Bytes on disk."""
        return allocated(self.attributes)

    @property
    def mode(self) -> int:
        """The mode without the type bits."""
        return stat.S_IMODE(self.attributes.st_mode)


def stat_file(path: str, *, follow: bool = True) -> Status:
    """Look at a path; without `follow` at a link itself. Raises a FileOperationError."""
    with about(path):
        found = os.stat(path, follow_symlinks=follow)
        target = os.readlink(path) if os.path.islink(path) else None
        return Status(path, os.path.realpath(path), type_of(found), found, target)
