"""A file tree as a stream of tar, in constant memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .attributes import Xattrs, read_xattrs
from .errors import FileMissing, TransferError
from .holes import content, zeros
from .notes import NoteBook
from .os_errors import printable
from .selection import EVERYTHING, Selection, Way
from .tarheader import FILE, FOLDER, HARD_LINK, SYMLINK, ZERO_BLOCK, Member, encode, padding

#: Pieces of this size go to `write`; smaller ones are gathered.
_PIECE = 256 * 1024
#: A file of at most this size is read at once: it is too small for holes.
_SMALL = 64 * 1024
_OPEN_END = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN = _OPEN_END | os.O_NOFOLLOW
_OPEN_FOLDER = _OPEN | os.O_DIRECTORY
#: One descriptor is open for each level.
_MAX_DEPTH = 400

Write = Callable[[bytes | memoryview], object]


@dataclass(frozen=True, slots=True)
class Packing:
    """What is taken of a tree. `follow_links` copies what symbolic links lead to in their place."""

    follow_links: bool = False
    xattrs: bool = False
    selection: Selection = EVERYTHING


DEFAULT_PACKING: Final = Packing()


class _Place(NamedTuple):
    """Something in the tree: where it is, what it is called in the archive and below the top."""

    path: bytes
    name: bytes
    way: Way
    chosen: bool

    def below(self, name: str) -> _Place:
        inner = b"/" + os.fsencode(name)
        return _Place(
            self.path + inner if self.path != b"/" else inner,
            self.name + inner,
            (*self.way, name),
            self.chosen,
        )


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder that is being packed. `header` is its member."""

    descriptor: int
    found: os.stat_result
    place: _Place
    header: Member
    entries: Iterator[os.DirEntry[str]]


class Packer:
    """One run over one tree. `members` and `files` are counted on the way, `notes` gathered.

    Something that vanishes between being listed and being opened is left out, as if packing had
    begun a little later. Sockets, devices and named pipes are left out and noted. A hole in a
    file goes to `hole` as its length; without one, zeros are written.
    """

    def __init__(
        self,
        write: Write,
        hole: Callable[[int], object] | None = None,
        packing: Packing = DEFAULT_PACKING,
    ) -> None:
        self._write = write
        self._hole = hole or self._write_zeros
        self._packing = packing
        self._selection: Final = packing.selection
        self._gathered = bytearray()
        #: Names of files with several links, by device and inode.
        self._links: dict[tuple[int, int], bytes] = {}
        self._levels: list[_Level] = []
        #: Folders on the way to something that may be chosen.
        self._pending: list[Member] = []
        self._top = b""
        self.members = 0
        self.files = 0
        self.notes = NoteBook()

    def pack(self, path: bytes, name: bytes) -> None:
        """Pack `path`, a folder with all below it or a single file, as `name`.

        A link at `path` itself is followed. Raises OSError, with the full path as its `filename`,
        TransferError when a file gets shorter while it is read, and FileMissing when nothing in
        the tree is what is to be included.
        """
        path = os.path.abspath(path)
        self._top = os.path.realpath(path)
        place = _Place(path, name, (), not self._selection.chooses)
        try:
            descriptor = os.open(path, _OPEN_END)
            if not self._pack(descriptor, os.fstat(descriptor), place):
                raise OSError(errno.EINVAL, "neither a file nor a folder", os.fsdecode(path))
            self._all_levels()
        finally:
            for level in self._levels:
                os.close(level.descriptor)
        if not self.members:
            shown = printable(os.fsdecode(path))
            hint = "A pattern with a slash counts from that folder: `**/` before it goes deeper"
            raise FileMissing(f"nothing in {shown} is what was asked for", hint=hint, path=shown)
        self._put(ZERO_BLOCK * 2)
        self._flush()

    def _pack(self, descriptor: int, found: os.stat_result, place: _Place) -> bool:
        """Pack what was opened, and close it: a folder once all below it is packed."""
        if stat.S_ISDIR(found.st_mode):
            self._enter(descriptor, found, place)
            return True
        try:
            regular = stat.S_ISREG(found.st_mode)
            if regular:
                self._file(descriptor, found, place)
        finally:
            os.close(descriptor)
        return regular

    def _enter(self, descriptor: int, found: os.stat_result, place: _Place) -> None:
        try:
            if len(self._levels) > _MAX_DEPTH:
                raise TransferError(f"folders are nested more than {_MAX_DEPTH} deep")
            member = self._member(FOLDER, descriptor, found, place.name + b"/")
            if place.chosen:
                self._header(member)
            else:
                self._pending.append(member)
            with os.scandir(descriptor) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except BaseException:
            os.close(descriptor)
            raise
        self._levels.append(_Level(descriptor, found, place, member, iter(listed)))

    def _all_levels(self) -> None:
        """Not by recursion: trees are deeper than Python's stack."""
        while self._levels:
            level = self._levels[-1]
            for entry in level.entries:
                below = level.place.below(entry.name)
                try:
                    self._entry(entry, level.descriptor, below)
                except OSError as error:
                    _leave_out(error, below.path)
                if self._levels[-1] is not level:
                    break
            else:
                self._leave()

    def _leave(self) -> None:
        level = self._levels.pop()
        os.close(level.descriptor)
        if self._pending and self._pending[-1] is level.header:
            self._pending.pop()

    def _entry(self, entry: os.DirEntry[str], parent: int, place: _Place) -> None:
        if entry.is_symlink():
            if self._packing.follow_links:
                self._followed(entry, parent, place)
            elif (chosen := self._chosen(place, folder=False)) is not None:
                self._symlink(entry, parent, chosen)
        elif entry.is_dir(follow_symlinks=False):
            if (chosen := self._chosen(place, folder=True)) is not None:
                descriptor = os.open(entry.name, _OPEN_FOLDER, dir_fd=parent)
                self._pack(descriptor, os.fstat(descriptor), chosen)
        elif (chosen := self._chosen(place, folder=False)) is None:
            return
        elif entry.is_file(follow_symlinks=False):
            descriptor = os.open(entry.name, _OPEN, dir_fd=parent)
            self._pack(descriptor, os.fstat(descriptor), chosen)
        else:
            self.notes.add(place.name, "special_file")

    def _chosen(self, place: _Place, *, folder: bool) -> _Place | None:
        """The place, knowing now whether it is chosen by itself; None if nothing of it comes."""
        selection = self._selection
        if selection.excludes(place.way, folder=folder):
            return None
        if place.chosen:
            return place
        if selection.includes(place.way, folder=folder):
            return place._replace(chosen=True)
        return place if folder and selection.may_include_below(place.way) else None

    def _symlink(self, entry: os.DirEntry[str], parent: int, place: _Place) -> None:
        target = os.fsencode(os.readlink(entry.name, dir_fd=parent))
        found = entry.stat(follow_symlinks=False)
        self._header(self._member(SYMLINK, None, found, place.name)._replace(target=target))

    def _followed(self, entry: os.DirEntry[str], parent: int, place: _Place) -> None:
        """What a link leads to, in its place."""
        try:
            found = os.stat(entry.name, dir_fd=parent)
        except OSError as problem:
            if problem.errno == errno.ELOOP:
                self.notes.add(place.name, "link_loop")
            elif problem.errno in (errno.ENOENT, errno.ENOTDIR):
                self.notes.add(place.name, "dangling_link")
            else:
                raise
            return
        chosen = self._chosen(place, folder=stat.S_ISDIR(found.st_mode))
        if chosen is None:
            return
        if any(os.path.samestat(found, level.found) for level in self._levels):
            self.notes.add(place.name, "link_loop")
        elif not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
            self.notes.add(place.name, "special_file")
        else:
            self._end_of_link(entry, parent, chosen)

    def _end_of_link(self, entry: os.DirEntry[str], parent: int, place: _Place) -> None:
        real = os.path.realpath(place.path)
        if not real.startswith(os.path.join(self._top, b"")):
            self.notes.add(place.name, "followed_out_of_tree", copied=True)
        descriptor = os.open(entry.name, _OPEN_END, dir_fd=parent)
        self._pack(descriptor, os.fstat(descriptor), place)

    def _file(self, descriptor: int, found: os.stat_result, place: _Place) -> None:
        self.files += 1
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), place.name)
            if first is not place.name:
                link = self._member(HARD_LINK, None, found, place.name)
                self._header(link._replace(target=first))
                return
        self._header(self._member(FILE, descriptor, found, place.name, found.st_size))
        self._content(descriptor, found, place.path)

    def _member(
        self,
        kind: bytes,
        descriptor: int | None,
        found: os.stat_result,
        name: bytes,
        size: int = 0,
    ) -> Member:
        own: Xattrs = ()
        if self._packing.xattrs and descriptor is not None:
            own = read_xattrs(descriptor)
        mode, mtime = stat.S_IMODE(found.st_mode), found.st_mtime_ns
        return Member(kind, name, mode, found.st_uid, found.st_gid, size, mtime, b"", own)

    def _header(self, member: Member) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            for folder in pending:
                self._header(folder)
        self._put(encode(member))
        self.members += 1

    def _content(self, descriptor: int, found: os.stat_result, path: bytes) -> None:
        left = found.st_size
        if left <= _SMALL:
            data = os.read(descriptor, left)
            if len(data) == left:
                self._put(data + bytes(padding(left)))
                return
        for piece in content(descriptor, found, _PIECE):
            if isinstance(piece, int):
                self._flush()
                self._hole(piece)
                left -= piece
            else:
                self._put(piece)
                left -= len(piece)
        if left:
            shown = os.fsdecode(path)
            raise TransferError(f"{shown!r} became shorter while it was read", path=shown)
        self._put(bytes(padding(found.st_size)))

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

    def _write_zeros(self, length: int) -> None:
        for piece in zeros(length):
            self._write(piece)


def _leave_out(error: OSError, path: bytes) -> None:
    """Leave out what has vanished or changed its type; name the whole path in other errors."""
    named = error.filename
    if named is None or (isinstance(named, str) and named.startswith("/")):
        raise error  # of `write`, or named by a level below
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
        return
    error.filename = os.fsdecode(path)
    raise error
