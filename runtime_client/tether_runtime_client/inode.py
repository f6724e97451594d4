"""What the kernel says of a file, in our words: its type, and what it takes on its disk."""

from __future__ import annotations

import os
import stat
from typing import Literal

FileType = Literal["file", "directory", "symlink", "fifo", "socket", "device"]

_TYPES: dict[int, FileType] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_BLOCK = 512
"""What `st_blocks` counts in, whatever the file system."""


def type_of(attributes: os.stat_result) -> FileType:
    """The name of its type."""
    return _TYPES.get(stat.S_IFMT(attributes.st_mode), "device")


def allocated(attributes: os.stat_result) -> int:
    """The bytes that it takes on its disk."""
    return attributes.st_blocks * _BLOCK
