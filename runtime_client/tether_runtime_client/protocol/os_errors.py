"""From an errno to the error users meet, for both ends of a transfer and for file actions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import (
    DanglingLink,
    DiskFull,
    FileAlreadyExists,
    FileError,
    FileMissing,
    FileTooLarge,
    PathIsADirectory,
    PathNotADirectory,
    PathUnreadable,
    ReadOnlyFileSystem,
)

_BY_ERRNO: dict[int | None, tuple[type[FileError], str]] = {
    errno.ENOENT: (FileMissing, "there is nothing at {path}"),
    errno.EISDIR: (PathIsADirectory, "{path} is a directory"),
    errno.ENOTDIR: (PathNotADirectory, "{path} leads through something that is no directory"),
    errno.EACCES: (PathUnreadable, "permission denied: {path}"),
    errno.EPERM: (PathUnreadable, "permission denied: {path}"),
    errno.EEXIST: (FileAlreadyExists, "something is in the way at {path}"),
    errno.ENOTEMPTY: (FileAlreadyExists, "something is in the way at {path}"),
    errno.ENOSPC: (DiskFull, "no space is left for {path}"),
    errno.EDQUOT: (DiskFull, "the quota is used up, so there is no space for {path}"),
    errno.EFBIG: (FileTooLarge, "{path} would be larger than the file system takes"),
    errno.EROFS: (ReadOnlyFileSystem, "the file system of {path} takes no writes"),
    errno.ELOOP: (DanglingLink, "{path} leads through a circle of links"),
}


def file_error(problem: OSError, path: str | os.PathLike[str], where: str) -> FileError:
    """The error for what the kernel said about `path`; `where` is as in "in the sandbox"."""
    text = os.fspath(path)
    kind, message = _BY_ERRNO.get(problem.errno, (FileError, "{path} cannot be used: {why}"))
    if kind is FileMissing and os.path.islink(text):
        kind, message = DanglingLink, "{path} is a link whose target does not exist"
    said = message.format(path=printable(text), why=problem.strerror or str(problem))
    hint = f"Free space {where} and try again" if kind is DiskFull else None
    return kind(f"{said} ({where})", hint=hint, path=printable(text))


@contextmanager
def file_errors(path: str | os.PathLike[str], where: str, *, below: bool = False) -> Iterator[None]:
    """Raise what the kernel says about `path` as a `FileError`.

    With `below`, the problem's own file name counts: of something in the folder `path`.
    """
    try:
        yield
    except OSError as problem:
        name = problem.filename if below and isinstance(problem.filename, str) else ""
        raise file_error(problem, os.path.join(path, name) if name else path, where) from problem


def printable(path: str) -> str:
    """A path as text that every encoder takes: bytes that are no UTF-8 become escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def about(message: str, path: str | os.PathLike[str]) -> dict[str, str]:
    """The arguments of a `FileError` about a path; `{}` in the message stands for it."""
    text = printable(os.fspath(path))
    return {"message": message.format(text), "path": text}
