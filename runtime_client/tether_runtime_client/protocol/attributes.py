"""A file's attributes beside its content, taken at one end of a transfer and set at the other.

Modes and times always come along. Set-user-id and set-group-id bits never do: what they would
lend is a user of the other side. Owners and extended attributes come where they are asked for;
of the latter only those in the namespace `user`, which mean nothing to the kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from .errors import FileError, PathUnreadable, UnsafeArchive
from .message import Message

if TYPE_CHECKING:
    from .unfinished import Unfinished

Owner = tuple[int, int] | Literal["keep"]
"""Whom files are given to: a user's and a group's number, or those that they had."""

XATTR_PREFIX = b"user."
Xattrs = tuple[tuple[bytes, bytes], ...]
_MAX_ID = 2**32 - 2
_Id = Annotated[int, Field(ge=0, le=_MAX_ID)]
#: Seconds since 1970 that every clock and file system in use takes.
_MAX_TIME_NS = 2**33 * 1_000_000_000
_NO_XATTRS = (errno.ENOTSUP, errno.ENOSYS)


class FileAttributes(Message):
    """Those of a file that is sent by itself; a tree's files have theirs in the archive.

    `mtime_ns` is in nanoseconds since 1970; None leaves an attribute to the receiver.
    """

    mode: Annotated[int, Field(ge=0, le=0o7777)] | None = None
    mtime_ns: int | None = None
    uid: _Id | None = None
    gid: _Id | None = None
    xattrs: dict[str, bytes] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receiving:
    """What a receiver does with links that lead out of a tree, with owners and with attributes.

    `keep` makes such links as they are, which is safe while unpacking, since that follows none,
    but not for whoever follows them later. `where` is as in "in the sandbox", for errors.
    """

    where: str = "here"
    links: Literal["refuse", "skip", "keep"] = "refuse"
    owner: Owner | None = None
    xattrs: bool = False
    unfinished: Unfinished | None = None
    """Where it is noted what is under way, if it is."""

    def give(self, path: int | bytes, was: tuple[int, int], shown: str, dir_fd: int = -1) -> None:
        """Give what belonged to the user and group `was` to its owner here; a link itself.

        `path` is a descriptor, or a name in the folder `dir_fd`; -1 leaves a number as it is.
        Raises `PathUnreadable` for all who are not root, `UnsafeArchive` for impossible numbers.
        """
        owner = was if self.owner == "keep" else self.owner
        if owner is None:
            return
        if not all(-1 <= number <= _MAX_ID for number in owner):
            raise UnsafeArchive(
                f"{shown!r} is of user {owner[0]} and group {owner[1]}: there are no such numbers",
                member=shown,
            )
        try:
            if isinstance(path, int):
                os.fchown(path, *owner)
            else:
                os.chown(path, *owner, dir_fd=dir_fd, follow_symlinks=False)
        except PermissionError as problem:
            raise PathUnreadable(
                f"only root can give {shown} to user {owner[0]}, group {owner[1]} ({self.where})",
                hint="Copy it without an owner: it then belongs to whoever receives it",
                path=shown,
            ) from problem

    def set_xattrs(self, descriptor: int, xattrs: Xattrs, shown: str) -> None:
        """Set a file's extended attributes, where they are wanted.

        Raises `UnsafeArchive` for those that may mean something to the kernel, and `FileError`
        where the file system has none.
        """
        for name, value in xattrs if self.xattrs else ():
            if not name.startswith(XATTR_PREFIX) or b"\0" in name:
                raise UnsafeArchive(
                    f"{shown!r} brings the attribute {name!r}, and only users' own are taken",
                    member=shown,
                )
            try:
                os.setxattr(descriptor, name, value)
            except OSError as problem:
                if problem.errno not in _NO_XATTRS:
                    raise
                raise FileError(
                    f"the file system of {shown} takes no extended attributes ({self.where})",
                    hint="Copy without them, or to another place",
                    path=shown,
                ) from problem


DEFAULT_RECEIVING: Final = Receiving()


def attributes_of(descriptor: int, found: os.stat_result, *, xattrs: bool) -> FileAttributes:
    """Those of an open file. The time and owner are always among them."""
    own = {os.fsdecode(k): v for k, v in read_xattrs(descriptor)} if xattrs else {}
    return FileAttributes(
        mode=stat.S_IMODE(found.st_mode),
        mtime_ns=found.st_mtime_ns,
        uid=found.st_uid,
        gid=found.st_gid,
        xattrs=own,
    )


def without_set_id(mode: int) -> int:
    """The mode as it may be taken over."""
    return mode & 0o7777 & ~(stat.S_ISUID | stat.S_ISGID)


def set_times(path: int | bytes, mtime_ns: int, dir_fd: int = -1) -> None:
    """Set both times, bounded to what can be; of a name in a folder a link's own."""
    bounded = min(max(mtime_ns, -_MAX_TIME_NS), _MAX_TIME_NS)
    if isinstance(path, int):
        os.utime(path, ns=(bounded, bounded))
    else:
        os.utime(path, ns=(bounded, bounded), dir_fd=dir_fd, follow_symlinks=False)


def read_xattrs(descriptor: int) -> Xattrs:
    """The names and values of an open file's extended attributes, sorted."""
    try:
        names = sorted(os.fsencode(name) for name in os.listxattr(descriptor))
        own = [name for name in names if name.startswith(XATTR_PREFIX)]
        return tuple((name, os.getxattr(descriptor, name)) for name in own)
    except OSError as problem:
        if problem.errno in _NO_XATTRS:
            return ()
        raise
