"""File trees as streams of tar: `pack` on one side, `unpack` on the other.

Both are blocking, meant for a thread, take constant memory (plus a little for each folder and
each file with several links) and know nothing of networks: bytes go to a `write`, or come from a
`read`. Names are whatever bytes the file system has; modes, times to the nanosecond, links of
both kinds and empty folders are kept.

Unpacking trusts nothing: see `tarunpack` for why a member cannot leave the destination. Refused
with `UnsafeArchive`, which names the member: absolute names, `..`, ways through links, devices,
named pipes, sparse files, links that escape. A file has its final name only once it is whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .tarpack import Packer
from .tarsource import Source
from .tarunpack import EscapingLinks, Limits, Unpacker

__all__ = [
    "EscapingLinks",
    "Limits",
    "Packed",
    "Unpacked",
    "pack",
    "pack_tree",
    "unpack",
    "unpack_tree",
]

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


#: Names of members, as bytes.
Names = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed.

    `members` counts everything, `files` regular files (hard links to one among them count too).
    `bytes` and `sha256` (hexadecimal) are of the stream; `skipped` names sockets, devices and
    named pipes that were left out, a hundred at most.
    """

    members: int
    files: int
    bytes: int
    sha256: str
    skipped: Names


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked; the fields are those of `Packed`, and `skipped` names left-out links."""

    members: int
    files: int
    bytes: int
    sha256: str
    skipped: Names


class Readable(Protocol):
    """Anything with a file's `read`."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` bytes; empty at the end."""


def pack(
    path: str | bytes | os.PathLike[str],
    write: Callable[[bytes], object],
    *,
    arcname: str | bytes | None = None,
) -> Packed:
    """Pack a folder with all below it, or one file. Blocking.

    The first member is called `arcname`: `.` where there is none, or the file's own name. A link
    at `path` is followed, links below are packed as links. Members come sorted by name, so equal
    trees make equal streams. What vanishes meanwhile is left out.

    Raises OSError with the whole path as its `filename`; TransferError when a file gets shorter
    while it is read; whatever `write` raises.
    """
    whole = os.path.abspath(os.fsencode(path))
    if arcname is None:
        arcname = b"." if os.path.isdir(whole) else os.path.basename(whole)
    counted = _CountedWrite(write)
    packer = Packer(counted.write)
    packer.pack(whole, os.fsencode(arcname))
    return Packed(
        packer.members, packer.files, counted.bytes, counted.sha256, tuple(packer.skipped)
    )


def unpack(
    read: Callable[[int], bytes | None],
    destination: str | bytes | os.PathLike[str],
    *,
    limits: Limits | None = None,
    escaping_links: EscapingLinks = "refuse",
    keep_set_id: bool = False,
    root_attributes: bool = True,
) -> Unpacked:
    """Unpack into the folder `destination`, which is there, reading `read` to its end. Blocking.

    Files replace what has their name in one step, folders that are there are added to, and get
    the archive's mode and time; `root_attributes=False` leaves `destination` itself its own. Owners
    are not taken over. `escaping_links`: refuse symbolic links that are absolute or lead out of
    the destination, skip them, or keep them as they are.

    Raises `UnsafeArchive` (see above), TransferError when the stream is cut off, damaged, no tar
    or over `limits`, and OSError with the member as its `filename`. What was complete stays.
    """
    counted = _CountedRead(read)
    unpacker = _unpacked(
        Source(counted.read),
        destination,
        limits=limits or Limits(),
        escaping_links=escaping_links,
        keep_set_id=keep_set_id,
        root_attributes=root_attributes,
    )
    return Unpacked(
        unpacker.members, unpacker.files, counted.bytes, counted.sha256, tuple(unpacker.skipped)
    )


def pack_tree(path: str | os.PathLike[str], write: Callable[[bytes], object]) -> int:
    """`pack` for a caller that has its own count and checksum; returns the number of files."""
    packer = Packer(write)
    packer.pack(os.path.abspath(os.fsencode(path)), b".")
    return packer.files


def unpack_tree(source: Readable, destination: str | os.PathLike[str]) -> int:
    """`unpack` for a caller that has its own count and checksum; returns the number of files."""
    unpacker = _unpacked(
        Source(source.read),
        destination,
        limits=Limits(),
        escaping_links="refuse",
        keep_set_id=False,
        root_attributes=True,
    )
    return unpacker.files


def _unpacked(
    source: Source,
    destination: str | bytes | os.PathLike[str],
    *,
    limits: Limits,
    escaping_links: EscapingLinks,
    keep_set_id: bool,
    root_attributes: bool,
) -> Unpacker:
    root = os.open(destination, _ROOT)
    try:
        unpacker = Unpacker(
            source,
            root,
            limits,
            escaping_links=escaping_links,
            keep_set_id=keep_set_id,
            root_attributes=root_attributes,
        )
        unpacker.unpack()
    finally:
        os.close(root)
    return unpacker


class _Count:
    """The bytes and the checksum of what has passed."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _pass(self, data: bytes) -> None:
        self._digest.update(data)
        self.bytes += len(data)


class _CountedWrite(_Count):
    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    def write(self, data: bytes) -> None:
        self._pass(data)
        self._write(data)


class _CountedRead(_Count):
    def __init__(self, read: Callable[[int], bytes | None]) -> None:
        super().__init__()
        self._read = read

    def read(self, size: int) -> bytes:
        data = self._read(size) or b""
        self._pass(data)
        return data
