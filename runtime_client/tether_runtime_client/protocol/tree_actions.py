"""What a server can ask about files and trees beyond their content: actions as those of `actions`.

Globs are those of .gitignore files, and `{a,b}` for either: one without a slash is about a name
wherever it is, one with a slash about the path from the folder that is searched, one that ends in a
slash about folders alone; `**` is any number of folders. `ignore` leaves out `.git` and what the
.gitignore files in and above the tree name. Links are never followed below `path`, and file systems
that the kernel makes up (/proc, /sys) are not entered unless `path` is in one. Times are seconds
since 1970, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .action import Action, Seconds

Glob = Annotated[str, Field(min_length=1, max_length=4_096)]
Globs = Annotated[tuple[Glob, ...], Field(max_length=1_000)]
Size = Annotated[int, Field(ge=0)]
Time = Annotated[float, Field(allow_inf_nan=False)]
Depth = Annotated[int, Field(ge=1)]
Offset = Annotated[int, Field(ge=0, le=1_000_000)]
Limit = Annotated[int, Field(ge=1, le=10_000)]
ContextLines = Annotated[int, Field(ge=0, le=100)]


class FileStatAction(Action):
    """Look at one file, folder or link → `FileStatObservation`.

    With `follow=False` a link's own attributes are told, not those of what it leads to.
    """

    action: Literal["stat"] = "stat"
    path: str
    follow: bool = True


class FindFilesAction(Action):
    """Find files and folders by name, type, size, time and depth → `FindFilesObservation`.

    All that is given has to hold. `globs`: any of them; `exclude`: none of them, and folders that
    one names are not looked into. Sizes are of files alone. What is in `path` itself has depth 1.
    Results come by name in the order of bytes, each folder before its content, a page at a time.
    Past `timeout_s` what was found until then is returned.
    """

    action: Literal["find"] = "find"
    path: str = "."
    globs: Globs = ()
    exclude: Globs = ()
    types: tuple[Literal["file", "directory", "symlink", "fifo", "socket", "device"], ...] = ()
    min_size: Size | None = None
    max_size: Size | None = None
    modified_after: Time | None = None
    modified_before: Time | None = None
    min_depth: Depth = 1
    max_depth: Depth | None = None
    ignore: bool = True
    offset: Offset = 0
    limit: Limit = 1_000
    timeout_s: Seconds | None = 60.0


class GrepAction(Action):
    """Search the lines of text files → `GrepObservation`.

    `pattern` is a regular expression of Python's, or with `fixed` the text itself; it matches
    within a line. `path` is a folder or one file. Binary files (a NUL byte in the first 64 KiB) are
    passed over; UTF-16 with a byte order mark is text. Each match comes with up to `before` and
    `after` lines around it. `files_only` returns the files and how many of their lines match.
    ripgrep does the work where the sandbox has it, and the results are the same without it. Results
    come in the order of `FindFilesAction`, a page at a time; past `timeout_s` what was found until
    then is returned.
    """

    action: Literal["grep"] = "grep"
    pattern: Annotated[str, Field(max_length=65_536)]
    path: str = "."
    fixed: bool = False
    ignore_case: bool = False
    globs: Globs = ()
    exclude: Globs = ()
    ignore: bool = True
    before: ContextLines = 0
    after: ContextLines = 0
    files_only: bool = False
    offset: Offset = 0
    limit: Limit = 1_000
    timeout_s: Seconds | None = 60.0


class DiskUsageAction(Action):
    """Count what a tree takes, and what its file system has left → `DiskUsageObservation`.

    Folders down to `depth` below `path` are told one by one, the `limit` largest of them. A file
    with several names counts once. `one_file_system` stays out of what is mounted below `path`.
    Past `timeout_s` what was counted until then is returned.
    """

    action: Literal["disk_usage"] = "disk_usage"
    path: str = "."
    depth: Annotated[int, Field(ge=0, le=100)] = 1
    limit: Limit = 100
    exclude: Globs = ()
    one_file_system: bool = False
    timeout_s: Seconds | None = 60.0


class FileWatchAction(Action):
    """Tell what changes at a path, as `FilesChanged` events → `FileWatchObservation`.

    `path` is a folder, of which the entries are watched (with `recursive` the whole tree, and
    folders that come later), or a single file. A `WatchReady` event says that nothing is missed
    from then on, a `WatchOverflow` that something was. `exclude` are globs as of `FindFilesAction`.
    The watch ends after `timeout_s`, which counts from the beginning, after `limit` changes, when
    `path` goes away, or by a `CancelAction`.
    """

    action: Literal["watch"] = "watch"
    path: str
    recursive: bool = False
    exclude: Globs = ()
    limit: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Seconds | None = None


class CancelAction(Action):
    """End a running find, grep, disk usage or watch, by its action's id → `DoneObservation`.

    That action then ends with the error `ActionCancelled`.
    """

    action: Literal["cancel"] = "cancel"
    target_id: str
