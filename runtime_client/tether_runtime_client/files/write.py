"""Writing: whole files in one step, or appending to what is there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from .errors import AlreadyExists, DanglingLink, FileMissing, about
from .opening import check_ordinary

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: A rename is refused like this where the file itself can still be written: a mounted file
#: (/etc/hosts in a container), a folder that is not ours to change, or one that takes no new
#: files (/proc).
_NO_RENAME = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV, errno.EROFS, errno.ENOENT)


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: its size in bytes now, and whether it is new.

    `atomic` is False where the file could only be written in place: another reader may have seen
    a part of it.
    """

    path: str
    total_bytes: int
    created: bool
    atomic: bool = True


def write_file(
    path: str,
    data: bytes,
    *,
    mode: int | None = None,
    make_parents: bool = False,
    only_new: bool = False,
) -> Written:
    """Give `path` the content `data` in one step: readers see the old or the new, never a part.

    An existing file keeps its mode, owner and extended attributes, unless `mode` is given; a link
    is followed and stays. Other hard links keep the old content. `only_new` raises AlreadyExists
    where something is. Where the file cannot be replaced, it is written in place.

    Raises a FileOperationError; the old content is still there then, except when writing in place
    failed half-way.
    """
    with about(path):
        target, found = _target(path)
        if found is not None and only_new:
            raise AlreadyExists(path, f"there is something at {path} already")
        _parents(path, target, make_parents)
        try:
            _replace(target, data, found, mode)
        except OSError as error:
            if found is None or error.errno not in _NO_RENAME:
                raise
            _write_in_place(target, data, mode)
            return Written(path, len(data), created=False, atomic=False)
        return Written(path, len(data), created=found is None)


def append_file(
    path: str, data: bytes, *, mode: int | None = None, make_parents: bool = False
) -> Written:
    """Add `data` to the end of a file, which is made where there is none.

    All or nothing: when the disk is full the file gets its old length back. `mode` is for a new
    file. Raises a FileOperationError.
    """
    with about(path):
        target, found = _target(path)
        _parents(path, target, make_parents)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(target, flags, 0o666)
        try:
            if found is None and mode is not None:
                os.fchmod(descriptor, mode)
            size = _append(descriptor, data)
        finally:
            os.close(descriptor)
        return Written(path, size, created=found is None)


def _target(path: str) -> tuple[str, os.stat_result | None]:
    """Where links lead to, and what is there now."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise DanglingLink(
                path, f"{path} is a link to {os.readlink(path)}, which is missing"
            ) from None
        return path, None
    check_ordinary(path, found)
    return os.path.realpath(path), found


def _parents(path: str, target: str, make: bool) -> None:
    folder = os.path.dirname(target) or "."
    if make:
        with suppress(FileExistsError):  # a file: what follows says so better
            os.makedirs(folder, exist_ok=True)
    elif not os.path.lexists(folder):
        raise FileMissing(
            path, f"the directory {folder} does not exist", "Make it first, or ask for parents"
        )


def _replace(target: str, data: bytes, found: os.stat_result | None, mode: int | None) -> None:
    temporary = os.path.join(os.path.dirname(target), f".tether-{secrets.token_hex(8)}.part")
    descriptor = os.open(temporary, _NEW, 0o666 if found is None else 0o600)
    try:
        try:
            _write_all(descriptor, data)
            _take_over(descriptor, target, found, mode)
        finally:
            os.close(descriptor)
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _take_over(
    descriptor: int, target: str, found: os.stat_result | None, mode: int | None
) -> None:
    """Owner first: changing it takes set-id bits away. Raises EPERM when it cannot be kept."""
    if found is not None:
        own = os.fstat(descriptor)
        if (own.st_uid, own.st_gid) != (found.st_uid, found.st_gid):
            os.fchown(descriptor, found.st_uid, found.st_gid)
        _copy_attributes(target, descriptor)
        mode = stat.S_IMODE(found.st_mode) if mode is None else mode
    if mode is not None:
        os.fchmod(descriptor, mode)


def _copy_attributes(target: str, descriptor: int) -> None:
    """Access lists and the user's own. Those of security modules are the kernel's to set."""
    with suppress(OSError):  # a file system without any
        for name in os.listxattr(target):
            if not name.startswith("security."):
                os.setxattr(descriptor, name, os.getxattr(target, name))


def _write_in_place(target: str, data: bytes, mode: int | None) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
        if mode is not None:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _append(descriptor: int, data: bytes) -> int:
    before = os.fstat(descriptor).st_size
    try:
        _write_all(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
    return before + len(data)


def _write_all(descriptor: int, data: bytes) -> None:
    for part in _parts(data):
        view = part
        while view:
            view = view[os.write(descriptor, view) :]


def _parts(data: bytes) -> Iterable[memoryview]:
    """In parts, so that a signal or a full disk is noticed before a gigabyte was copied."""
    whole, size = memoryview(data), 16 * 1024 * 1024
    return (whole[start : start + size] for start in range(0, len(whole), size))
