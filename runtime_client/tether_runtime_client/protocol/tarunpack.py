"""A stream of tar as a file tree, from a sender that may be hostile, in constant memory.

Nothing is checked and then done: every step is relative to a descriptor of the folder it happens
in, and every folder on the way is opened from its parent without following links. A member's name
can therefore not lead out of the destination, whatever links are there or come with the archive.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .attributes import Receiving, set_times, without_set_id
from .errors import TransferError, UnsafeArchive
from .notes import NoteBook
from .tarfolders import Folders
from .tarheader import FILE, FOLDER, HARD_LINK, Member, printable, read_member
from .tarsource import Source

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

LINKS_INSIDE = (
    "Whoever follows such a link later leaves the copied tree, so it is refused. Relative links to"
    " places inside the tree are copied. Choose links='keep' to copy it as it is, 'skip' to leave"
    " it out, or 'follow' to copy what it leads to"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold: members of any kind, and bytes of all files together."""

    members: int = 1_000_000
    total_bytes: int = 1024**4


DEFAULT_LIMITS: Final = Limits()


class Unpacker:
    """One run over one archive, into the folder that `root` is a descriptor of.

    `members` and `files` are counted, and links that lead out of the destination are noted.
    `fresh` means that the folder is nobody else's before all of it is there: then files are made
    under their own names, which spares a rename each.
    """

    def __init__(
        self,
        source: Source,
        root: int,
        limits: Limits,
        receiving: Receiving,
        *,
        root_attributes: bool,
        fresh: bool,
    ) -> None:
        self._source = source
        self._folders = Folders(root)
        self._limits = limits
        self._receiving = receiving
        self._root_attributes = root_attributes
        self._fresh = fresh
        self._temporary = f".tether-{secrets.token_hex(8)}.part".encode()
        #: Folders get modes and times last: until then we write in them.
        self._folder_members: dict[tuple[bytes, ...], Member] = {}
        self._folder: tuple[bytes, tuple[bytes, ...]] = (b"", ())
        self.members = 0
        self.files = 0
        self.bytes = 0
        self.notes = NoteBook()

    def unpack(self) -> None:
        """Unpack all members, then what holds for whole folders."""
        try:
            while (member := read_member(self._source.exactly)) is not None:
                self._count(member)
                try:
                    self._unpack(member, self._parts(member))
                except OSError as error:
                    raise _named(error, member) from error
            self._source.end()
            self._finish_folders()
        finally:
            self._folders.close()

    def _parts(self, member: Member) -> tuple[bytes, ...]:
        """The names on its way; members of one folder follow one another."""
        folder, _, name = member.name.rpartition(b"/")
        if name in (b"", b".", b"..") or b"\0" in name or member.name.startswith(b"/"):
            return _split(member, member.name)
        if folder != self._folder[0]:
            self._folder = (folder, _split(member, folder))
        return (*self._folder[1], name)

    def _count(self, member: Member) -> None:
        self.members += 1
        self.bytes += member.size
        if member.size < 0:
            raise TransferError("the archive has a file of negative size")
        if self.members > self._limits.members:
            raise TransferError(f"the archive has more than {self._limits.members:,} members")
        if self.bytes > self._limits.total_bytes:
            raise TransferError(
                f"the archive's files are more than {self._limits.total_bytes:,} bytes"
            )

    def _unpack(self, member: Member, parts: tuple[bytes, ...]) -> None:
        if member.kind == FOLDER:
            self._folders.enter(parts)
            if parts or self._root_attributes:
                self._folder_members[parts] = member
            return
        if not parts:
            raise _unsafe(member, "has the destination's own name")
        if b"\0" in member.target or (member.kind != FILE and not member.target):
            raise _unsafe(member, "is a link to nothing that could have a name")
        folder = self._folders.enter(parts[:-1])
        if member.kind == FILE:
            self._file(member, folder, parts[-1])
        elif member.kind == HARD_LINK:
            self._hard_link(member, folder, parts[-1])
        else:
            self._symlink(member, folder, parts)

    def _file(self, member: Member, folder: int, name: bytes) -> None:
        descriptor, made = self._new_file(folder, name)
        try:
            try:
                self._source.copy(descriptor, member.size)
                self._set_attributes(descriptor, member)
            finally:
                os.close(descriptor)
            if made is not name:
                os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(made, dir_fd=folder)
            raise
        self.files += 1

    def _new_file(self, folder: int, name: bytes) -> tuple[int, bytes]:
        """A file that nobody had, and its name: its own where nobody can see it half, else ours."""
        if self._fresh:
            try:
                return os.open(name, _NEW_FILE, 0o600, dir_fd=folder), name
            except FileExistsError:  # the archive has that name twice
                pass
        return os.open(self._temporary, _NEW_FILE, 0o600, dir_fd=folder), self._temporary

    def _symlink(self, member: Member, folder: int, parts: tuple[bytes, ...]) -> None:
        reason = self._folders.leads_out(parts[:-1], member.target)
        if reason is not None:
            if self._receiving.links == "refuse":
                target = printable(member.target)
                raise _unsafe(member, f"is a link to {target!r}, which {reason}", LINKS_INSIDE)
            kept = self._receiving.links == "keep"
            self.notes.add(member.name, "link_leads_out", copied=kept)
            if not kept:
                return
        os.symlink(member.target, self._temporary, dir_fd=folder)
        try:
            owner = (member.uid, member.gid)
            self._receiving.give(self._temporary, owner, printable(member.name), folder)
            set_times(self._temporary, member.mtime_ns, folder)
            os.rename(self._temporary, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(self._temporary, dir_fd=folder)
            raise

    def _hard_link(self, member: Member, folder: int, name: bytes) -> None:
        first = _split(member, member.target)
        with self._folders.opened(first[:-1]) as origin:
            if not first or not _is_file(first[-1], origin):
                target = printable(member.target)
                raise _unsafe(member, f"is a hard link to {target!r}, which is no file in it")
            there, here = {"src_dir_fd": origin}, {"dst_dir_fd": folder}
            os.link(first[-1], self._temporary, **there, **here, follow_symlinks=False)
        try:
            os.rename(self._temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):  # renamed; a link onto itself is left as it is
                os.unlink(self._temporary, dir_fd=folder)
        self.files += 1

    def _finish_folders(self) -> None:
        """The deepest first: a folder's own mode may forbid to enter it."""
        for parts in sorted(self._folder_members, key=len, reverse=True):
            member = self._folder_members[parts]
            try:
                with self._folders.opened(parts) as folder:
                    self._set_attributes(folder, member)
            except OSError as error:
                raise _named(error, member) from error

    def _set_attributes(self, descriptor: int, member: Member) -> None:
        """In this order: a mode may forbid attributes, and a new owner takes bits off the mode."""
        receiving = self._receiving
        if receiving.xattrs and member.xattrs:
            receiving.set_xattrs(descriptor, member.xattrs, printable(member.name))
        if receiving.owner is not None:
            receiving.give(descriptor, (member.uid, member.gid), printable(member.name))
        os.fchmod(descriptor, without_set_id(member.mode))
        set_times(descriptor, member.mtime_ns)


def _split(member: Member, name: bytes) -> tuple[bytes, ...]:
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if name.startswith(b"/"):
        raise _unsafe(member, "has an absolute name")
    if b".." in parts:
        raise _unsafe(member, "climbs out of the destination")
    if b"\0" in name:
        raise _unsafe(member, "has a NUL byte in its name")
    return parts


def _is_file(name: bytes, folder: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _unsafe(member: Member, why: str, hint: str | None = None) -> UnsafeArchive:
    name = printable(member.name)
    return UnsafeArchive(f"the archive's member {name!r} {why}", hint=hint, member=name)


def _named(error: OSError, member: Member) -> Exception:
    """What stands in a member's way by its own or another member's doing, or the destination's."""
    if isinstance(error, NotADirectoryError | IsADirectoryError):
        return _unsafe(member, "takes something for a folder that is none, or a link")
    error.filename, error.filename2 = printable(member.name), None
    return error
