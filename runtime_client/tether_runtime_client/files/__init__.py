"""File operations for a sandbox: blocking functions for threads, with typed errors and results.

Text is UTF-8 unless said otherwise. Paths are strings; bytes that are no UTF-8 in them are
surrogate escapes, as everywhere in Python.
"""

from .edit import Edited, Editor
from .errors import (
    AlreadyExists,
    DanglingLink,
    DiskFull,
    EditFailed,
    FileMissing,
    FileOperationError,
    IsADirectory,
    NoMatch,
    NotADirectory,
    NotAFile,
    NothingToUndo,
    NotText,
    OutOfRange,
    ReadOnly,
    SeveralMatches,
    TooLarge,
    Unreadable,
    from_os_error,
)
from .listing import Entry, Listing, list_directory
from .read import Bytes, Text, read_bytes, read_text
from .status import Status, stat_file
from .text import encode_text
from .write import Written, append_file, write_file

__all__ = [
    "AlreadyExists",
    "Bytes",
    "DanglingLink",
    "DiskFull",
    "EditFailed",
    "Edited",
    "Editor",
    "Entry",
    "FileMissing",
    "FileOperationError",
    "IsADirectory",
    "Listing",
    "NoMatch",
    "NotADirectory",
    "NotAFile",
    "NotText",
    "NothingToUndo",
    "OutOfRange",
    "ReadOnly",
    "SeveralMatches",
    "Status",
    "Text",
    "TooLarge",
    "Unreadable",
    "Written",
    "append_file",
    "encode_text",
    "from_os_error",
    "list_directory",
    "read_bytes",
    "read_text",
    "stat_file",
    "write_file",
]
