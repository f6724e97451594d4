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

import os
from dataclasses import dataclass
from typing import Protocol

from .attributes import DEFAULT_RECEIVING, Receiving
from .checksum import Checksum
from .notes import Notes
from .tarpack import DEFAULT_PACKING, Packer, Packing, Write
from .tarsource import Read, Source
from .tarunpack import DEFAULT_LIMITS, Limits, Unpacker

__all__ = ["Limits", "Packed", "Packing", "Receiving", "Unpacked", "pack", "unpack", "unpack_tree"]

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed.

    `members` counts everything, `files` regular files (hard links to one among them count too).
    `bytes` and `crc32` (hexadecimal) are of the stream; `notes` tells what was not copied like
    the rest, the first hundred.
    """

    members: int
    files: int
    bytes: int
    crc32: str
    notes: Notes


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked; the fields are those of `Packed`."""

    members: int
    files: int
    bytes: int
    crc32: str
    notes: Notes


class Readable(Protocol):
    """Anything with a file's `read`."""

    def read(self, size: int, /) -> bytes | memoryview | None:
        """At most `size` bytes; empty at the end. A piece of `holes.ZEROS` becomes a hole."""


def pack(
    path: str | bytes | os.PathLike[str],
    write: Write,
    *,
    arcname: str | bytes | None = None,
    packing: Packing = DEFAULT_PACKING,
) -> Packed:
    """Pack a folder with all below it, or one file. Blocking.

    The first member is called `arcname`: `.` where there is none, or the file's own name. A link
    at `path` is followed; links below are packed as links unless `packing` says otherwise. Members
    come sorted by name, so equal trees make equal streams. What vanishes meanwhile is left out.

    Raises OSError with the whole path as its `filename`; TransferError when a file gets shorter
    while it is read; whatever `write` raises.
    """
    whole = os.path.abspath(os.fsencode(path))
    if arcname is None:
        arcname = b"." if os.path.isdir(whole) else os.path.basename(whole)
    counted = _CountedWrite(write)
    packer = Packer(counted.write, packing=packing)
    packer.pack(whole, os.fsencode(arcname))
    return Packed(
        packer.members, packer.files, counted.bytes, counted.crc32, tuple(packer.notes.first)
    )


def unpack(
    read: Read,
    destination: str | bytes | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    receiving: Receiving = DEFAULT_RECEIVING,
    root_attributes: bool = True,
) -> Unpacked:
    """Unpack into the folder `destination`, which is there, reading `read` to its end. Blocking.

    Files replace what has their name in one step, folders that are there are added to, and get
    the archive's mode and time; `root_attributes=False` leaves `destination` itself its own.
    `receiving` says what becomes of links that lead out, of owners and of extended attributes.

    Raises `UnsafeArchive` (see above), TransferError when the stream is cut off, damaged, no tar
    or over `limits`, and OSError with the member as its `filename`. What was complete stays.
    """
    counted = _CountedRead(read)
    done = unpack_tree(
        counted, destination, limits=limits, receiving=receiving, root_attributes=root_attributes
    )
    return Unpacked(done.members, done.files, counted.bytes, counted.crc32, tuple(done.notes.first))


def unpack_tree(
    source: Readable,
    destination: str | bytes | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    receiving: Receiving = DEFAULT_RECEIVING,
    root_attributes: bool = True,
    fresh: bool = False,
) -> Unpacker:
    """`unpack` for a caller that has its own count and checksum; returns what did it.

    `fresh`: the folder is empty, and nobody else's until this returns; if it does not, what is
    half there has its own name.
    """
    root = os.open(destination, _ROOT)
    try:
        unpacker = Unpacker(
            Source(source.read),
            root,
            limits,
            receiving,
            root_attributes=root_attributes,
            fresh=fresh,
        )
        unpacker.unpack()
    finally:
        os.close(root)
    return unpacker


class _Count:
    """The bytes and the checksum of what has passed."""

    def __init__(self) -> None:
        self._checksum = Checksum()
        self.bytes = 0

    @property
    def crc32(self) -> str:
        return str(self._checksum)

    def _pass(self, data: bytes | memoryview) -> None:
        self._checksum.update(data)
        self.bytes += len(data)


class _CountedWrite(_Count):
    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def write(self, data: bytes | memoryview) -> None:
        self._pass(data)
        self._write(data)


class _CountedRead(_Count):
    def __init__(self, read: Read) -> None:
        super().__init__()
        self._read = read

    def read(self, size: int) -> bytes | memoryview:
        data = self._read(size) or b""
        self._pass(data)
        return data
