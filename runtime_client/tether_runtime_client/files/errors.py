"""What goes wrong with a path, one class for each thing to do about it.

    FileOperationError
    ├── FileMissing        nothing is there
    │   └── DanglingLink   a link is there, and what it leads to is not
    ├── IsADirectory       a file was needed
    ├── NotADirectory      a directory was needed, there or on the way
    ├── NotAFile           a device, pipe or socket
    ├── Unreadable         permission denied
    ├── ReadOnly           the file system takes no writes
    ├── DiskFull           no space, or a quota is used up
    ├── TooLarge           more than the limit
    ├── NotText            binary, or another encoding
    ├── AlreadyExists      not to be overwritten
    └── EditFailed
        ├── NoMatch        the text to replace is not there
        ├── SeveralMatches it is there more than once
        ├── OutOfRange     no such line
        └── NothingToUndo  no edit is known, or something else has changed the file since

`code` is stable and the same as in the protocol's table, whose hints are these errors' too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ..protocol.errors import ERRORS_BY_CODE


class FileOperationError(Exception):
    """The base: `path`, what happened (`message`), what to do (`hint`), what is known (`data`)."""

    code: ClassVar[str] = "file_error"
    default_hint: ClassVar[str] = ""

    def __init__(self, path: str, message: str, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        usual = self.default_hint or ERRORS_BY_CODE[self.code].default_hint
        self.hint = usual if hint is None else hint
        self.data = {"path": path, **data}

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class FileMissing(FileOperationError):
    """There is nothing at the path."""

    code = "file_missing"


class DanglingLink(FileMissing):
    """A symbolic link whose target does not exist, or a circle of links. `data`: `target`."""

    code = "dangling_link"


class IsADirectory(FileOperationError):
    """A file was needed and a directory is there."""

    code = "is_a_directory"


class NotADirectory(FileOperationError):
    """A directory was needed, at the path or on the way to it, and something else is there."""

    code = "not_a_directory"


class NotAFile(FileOperationError):
    """A device, pipe or socket, whose reading or writing may never end."""

    default_hint = "Use a command for it"


class Unreadable(FileOperationError):
    """Permission denied."""

    code = "permission_denied"


class ReadOnly(FileOperationError):
    """The file system does not take writes."""

    code = "read_only"


class DiskFull(FileOperationError):
    """No space left, or a quota is used up. What was there before is still there."""

    code = "disk_full"


class TooLarge(FileOperationError):
    """More bytes than the limit. `data`: `size` and `limit`, in bytes."""

    code = "file_too_large"


class NotText(FileOperationError):
    """Not text in the encoding that was assumed. `data`: `encoding`, and `offset` of the byte."""

    code = "not_text"


class AlreadyExists(FileOperationError):
    """Something is there already, and was not overwritten."""

    code = "file_exists"


class EditFailed(FileOperationError):
    """An edit that was not made; the file is as it was."""

    code = "edit_failed"


class NoMatch(EditFailed):
    """The text to replace is not in the file. `data`: `nearest` and its first `line`, if any."""


class SeveralMatches(EditFailed):
    """The text to replace is there more than once. `data`: `lines` (the first 100), `count`."""


class OutOfRange(EditFailed):
    """A line number beyond the file. `data`: `total_lines`."""


class NothingToUndo(EditFailed):
    """No edit of this file is known, or something else has changed it since."""


_BY_ERRNO: dict[int, tuple[type[FileOperationError], str]] = {
    errno.ENOENT: (FileMissing, "there is nothing at {}"),
    errno.ENOTDIR: (NotADirectory, "{} leads through something that is no directory"),
    errno.EISDIR: (IsADirectory, "{} is a directory"),
    errno.EACCES: (Unreadable, "permission denied: {}"),
    errno.EPERM: (Unreadable, "not permitted: {}"),
    errno.EROFS: (ReadOnly, "the file system of {} takes no writes"),
    errno.ENOSPC: (DiskFull, "no space is left for {}"),
    errno.EDQUOT: (DiskFull, "the quota is used up, so there is no space for {}"),
    errno.EFBIG: (TooLarge, "{} would be larger than the file system takes"),
    errno.EEXIST: (AlreadyExists, "there is something at {} already"),
    errno.ELOOP: (DanglingLink, "{} leads through a circle of links"),
    errno.ENXIO: (NotAFile, "{} is a socket or pipe"),
}


def from_os_error(error: OSError, path: str) -> FileOperationError:
    """What the kernel's answer about `path` means."""
    kind, text = _BY_ERRNO.get(
        error.errno or 0, (FileOperationError, f"{{}} cannot be used: {error.strerror}")
    )
    if kind is FileMissing and os.path.islink(path):
        target = os.readlink(path)
        return DanglingLink(path, f"{path} is a link to {target}, which is missing", target=target)
    if kind is FileMissing and path.startswith("~"):
        text += ": `~` stands for no home here"
    return kind(path, text.format(path or "a path of no letters"))


@contextmanager
def about(path: str) -> Iterator[None]:
    """Raise what the kernel says as a FileOperationError about `path`."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path) from error
    except ValueError as error:  # a NUL byte, or a surrogate that no name can have
        raise FileMissing(path, f"{path!r} can be no path: {error}") from error
