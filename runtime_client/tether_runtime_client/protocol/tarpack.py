"""A file tree as a stream of tar, in constant memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import TransferError
from .tarheader import FILE, FOLDER, HARD_LINK, SYMLINK, ZERO_BLOCK, Member, encode, padding

#: Pieces of this size go to `write`; smaller ones are gathered.
_PIECE = 256 * 1024
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_FOLDER = _OPEN | os.O_DIRECTORY
#: One descriptor is open for each level.
_MAX_DEPTH = 400
_MAX_SKIPPED = 100


class Packer:
    """One run over one tree. `members`, `files` and `skipped` are counted on the way.

    Something that vanishes between being listed and being opened is left out, as if packing had
    begun a little later. Sockets, devices and named pipes are left out and named in `skipped`.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._gathered = bytearray()
        #: Names of files with several links, by device and inode.
        self._links: dict[tuple[int, int], bytes] = {}
        self.members = 0
        self.files = 0
        self.skipped: list[bytes] = []

    def pack(self, path: bytes, name: bytes) -> None:
        """Pack `path`, a folder with all below it or a single file, as `name`.

        A link at `path` itself is followed. Raises OSError, with the full path as its `filename`,
        and TransferError when a file gets shorter while it is read.
        """
        path = os.path.abspath(path)
        descriptor = os.open(path, _OPEN & ~os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                self._folder(descriptor, found, path, name, 0)
            elif stat.S_ISREG(found.st_mode):
                self._file(descriptor, found, path, name)
            else:
                raise OSError(errno.EINVAL, "neither a file nor a folder", os.fsdecode(path))
        finally:
            os.close(descriptor)
        self._put(ZERO_BLOCK * 2)
        self._flush()

    def _folder(
        self, descriptor: int, found: os.stat_result, path: bytes, name: bytes, depth: int
    ) -> None:
        if depth > _MAX_DEPTH:
            raise TransferError(f"folders are nested more than {_MAX_DEPTH} deep")
        self._header(FOLDER, found, name + b"/")
        with os.scandir(descriptor) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            below = os.fsencode(entry.name)
            with _about(os.path.join(path, below)) as whole:
                self._entry(entry, descriptor, whole, b"%s/%s" % (name, below), depth)

    def _entry(
        self, entry: os.DirEntry[str], parent: int, path: bytes, name: bytes, depth: int
    ) -> None:
        if entry.is_symlink():
            self._symlink(entry, parent, name)
        elif entry.is_dir(follow_symlinks=False):
            with _opened(entry.name, _OPEN_FOLDER, parent) as descriptor:
                self._folder(descriptor, os.fstat(descriptor), path, name, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            with _opened(entry.name, _OPEN, parent) as descriptor:
                self._file(descriptor, os.fstat(descriptor), path, name)
        elif len(self.skipped) < _MAX_SKIPPED:
            self.skipped.append(name)

    def _symlink(self, entry: os.DirEntry[str], parent: int, name: bytes) -> None:
        target = os.fsencode(os.readlink(entry.name, dir_fd=parent))
        self._header(SYMLINK, entry.stat(follow_symlinks=False), name, target=target)

    def _file(self, descriptor: int, found: os.stat_result, path: bytes, name: bytes) -> None:
        self.files += 1
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), name)
            if first is not name:
                self._header(HARD_LINK, found, name, target=first)
                return
        self._header(FILE, found, name, size=found.st_size)
        self._content(descriptor, found.st_size, path)

    def _header(
        self, kind: bytes, found: os.stat_result, name: bytes, size: int = 0, target: bytes = b""
    ) -> None:
        mode = stat.S_IMODE(found.st_mode)
        mtime = found.st_mtime_ns
        self._put(encode(Member(kind, name, mode, found.st_uid, found.st_gid, size, mtime, target)))
        self.members += 1

    def _content(self, descriptor: int, size: int, path: bytes) -> None:
        left = size
        while left:
            data = os.read(descriptor, min(left, _PIECE))
            if not data:
                raise TransferError(
                    f"{os.fsdecode(path)!r} became shorter while it was read",
                    path=os.fsdecode(path),
                )
            left -= len(data)
            self._put(data)
        self._put(bytes(padding(size)))

    def _put(self, data: bytes) -> None:
        if len(data) >= _PIECE:
            self._flush()
            self._write(data)
            return
        self._gathered += data
        if len(self._gathered) >= _PIECE:
            self._flush()

    def _flush(self) -> None:
        if self._gathered:
            self._write(bytes(self._gathered))
            self._gathered.clear()


@contextmanager
def _opened(name: str, flags: int, parent: int) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _about(path: bytes) -> Iterator[bytes]:
    """Leave out what has vanished or changed its type; name the whole path in other errors."""
    try:
        yield path
    except OSError as error:
        named = error.filename
        if named is None or (isinstance(named, str) and named.startswith("/")):
            raise  # of `write`, or named by a level below
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            return
        error.filename = os.fsdecode(path)
        raise
