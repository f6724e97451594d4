"""What an action came to. Each is an event too: it is numbered, stored and replayed as one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from .errors import TetherError
from .events import FileChange, ShellEndCause
from .exec_observations import ExecAttachedObservation as ExecAttachedObservation
from .exec_observations import ExecObservation as ExecObservation
from .exec_observations import ListExecsObservation as ListExecsObservation
from .message import LATER, Message
from .notes import Notes, NotesCount
from .observation import Observation as Observation
from .plugin_observations import ListPluginsObservation as ListPluginsObservation
from .plugin_observations import OpaqueObservation as OpaqueObservation
from .plugin_observations import PluginInfo as PluginInfo
from .plugin_observations import PluginObservation as PluginObservation
from .port_observations import PortReadyObservation as PortReadyObservation

CommandStatus = Literal[
    "completed", "running", "timeout", "waiting_for_input", "interrupted", "session_ended"
]
WaitEvidence = Literal["exact", "inferred", "unknown"]
ErrorCode = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_.:-]+$")]
ProcessState = Literal["running", "sleeping", "uninterruptible", "stopped"]
FileType = Literal["file", "directory", "symlink", "fifo", "socket", "device"]


class StateLost(Message):
    """Why a shell was replaced, what its successor has again, and what it has not.

    What is `kept` is as it was when the last command before that ended: what the shell's last
    command itself changed (`cd /srv; export A=1; exit 3`) went with it.
    """

    cause: ShellEndCause
    reason: str
    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class CmdOutputObservation(Observation):
    """What is new since the session's last observation.

    `exit_code` is None while the command runs. `content` is the rendered output, cut in the
    middle past its limit (`truncated`); `total_bytes` counts the command's whole byte log, which
    is at `full_output_path` in the sandbox whenever `content` is not all of it, byte for byte.

    `signal` is the one that `exit_code` stands for, as shells tell it: 128 + n (a program that
    exits with such a code of its own looks the same). `oom_kills` counts the processes of the
    sandbox that the kernel killed while the command ran, because memory had run out.
    """

    observation: Literal["run"] = "run"
    content: str
    exit_code: int | None = None
    signal: int | None = None
    oom_kills: int = 0
    status: CommandStatus
    cwd: str
    session: str = "default"
    pid: int | None = None
    foreground: tuple[str, ...] = ()
    total_bytes: int = 0
    truncated: bool = False
    full_output_path: str | None = None
    wait_evidence: WaitEvidence | None = None
    state_lost: StateLost | None = None
    duration_s: float = 0.0


class SessionResetObservation(Observation):
    """The session is fresh: its new shell's directory, and what was given up."""

    observation: Literal["reset"] = "reset"
    session: str
    cwd: str
    state_lost: StateLost


class ScreenCursor(Message):
    """Where the cursor is. `row` and `col` count from 1; programs may hide it."""

    row: int
    col: int
    visible: bool


class ScreenObservation(Observation):
    """A session's terminal as text, after the first `total_bytes` of its newest command's output.

    `content` has the `rows` from the top, without blanks at their ends and without blank rows at
    the end. A wide character is one character there and two columns of the screen's `cols`.
    `alternate` is whether a program has taken the whole screen (an editor, a pager), and the
    former screen comes back after it. Without `complete` parts of it may be missing: too much
    output went by since the last look.
    """

    observation: Literal["screen"] = "screen"
    session: str
    content: str
    rows: int
    cols: int
    cursor: ScreenCursor
    alternate: bool
    complete: bool
    total_bytes: int


class ProcessEntry(Message):
    """One process. `parent` and `group` are pids, `started` is in seconds since 1970.

    `session` is the shell session it came of, and `action_id` the action that ran there when it,
    or what it came from, was started: None where that is not known. Its name and its arguments
    are what it says of itself; of long ones the first 4 KiB are told. `foreground` means that it
    is part of the running command.
    """

    pid: int
    parent: int
    group: int
    name: str
    argv: tuple[str, ...]
    state: ProcessState
    session: str | None = None
    action_id: str | None = None
    started: float
    foreground: bool = False


class ListProcessesObservation(Observation):
    """What runs, oldest first: `total` processes, of which `processes` has the first."""

    observation: Literal["list_processes"] = "list_processes"
    processes: tuple[ProcessEntry, ...]
    total: int


class DoneObservation(Observation):
    """It was done, and there is nothing more to say."""

    observation: Literal["done"] = "done"


class FileReadObservation(Observation):
    """A file, or what was asked for of it; `truncated` when the file has more than was sent.

    A text has its `encoding` and the `line_end` that most of its lines have; bytes are those from
    `offset`.
    """

    observation: Literal["read"] = "read"
    path: str
    content: str = ""
    data: bytes | None = None
    start_line: int | None = None
    end_line: int | None = None
    total_lines: int | None = None
    total_bytes: int = 0
    truncated: bool = False
    encoding: str | None = None
    line_end: Literal["\n", "\r\n"] | None = None
    offset: int | None = None


class FileWriteObservation(Observation):
    """A file was written: its size in bytes now, and whether it was made.

    `atomic` is False where the file could be written in place only (a mounted file, or a folder
    that takes no new names): somebody may have read a part of it.
    """

    observation: Literal["write"] = "write"
    path: str
    total_bytes: int
    created: bool
    atomic: bool = True


class FileEditObservation(Observation):
    """An edit's result: the part of the file around it, and a unified diff."""

    observation: Literal["edit"] = "edit"
    path: str
    content: str
    diff: str = ""


class FileEntry(Message):
    """One name in a directory. `size` in bytes, `modified` in seconds since 1970."""

    path: str
    type: FileType
    size: int
    mode: int
    modified: float
    target: str | None = None


class ListFilesObservation(Observation):
    """A page of a directory; ask again from `next_offset` while it is not None.

    `unreadable` names directories below that could not be looked into, a hundred at most.
    """

    observation: Literal["list_files"] = "list_files"
    path: str
    entries: tuple[FileEntry, ...]
    next_offset: int | None = None
    unreadable: tuple[str, ...] = ()


class FileStatObservation(Observation):
    """One file, folder or link. Times are seconds since 1970, sizes bytes; `allocated` is on disk.

    `real_path` is where all links lead, `target` a link's own text. `owner` and `group` are the
    names that the sandbox has for `uid` and `gid`.
    """

    observation: Literal["stat"] = "stat"
    path: str
    real_path: str
    type: FileType
    size: int
    allocated: int
    mode: int
    uid: int
    gid: int
    owner: str | None = None
    group: str | None = None
    links: int
    inode: int
    device: int
    modified: float
    accessed: float
    changed: float
    target: str | None = None


class FindFilesObservation(Observation):
    """A page of what was found; ask again from `next_offset` while it is not None.

    Paths are from the folder that was searched. `unreadable` names folders that could not be looked
    into, a hundred at most. `timed_out`: the time was over, and there may be more.
    """

    observation: Literal["find"] = "find"
    path: str
    entries: tuple[FileEntry, ...]
    next_offset: int | None = None
    unreadable: tuple[str, ...] = ()
    timed_out: bool = False


class GrepMatch(Message):
    """A line that matches: its number, and the column of its first match in characters, from 1.

    `text` is the line without its end, and its first 2,000 characters where it is `cut`; `before`
    and `after` are lines around it, which may match too.
    """

    path: str
    line: int
    column: int
    text: str
    cut: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class GrepFile(Message):
    """A file in which that many lines match."""

    path: str
    matches: int


class GrepObservation(Observation):
    """A page of matching lines (or of `files`); ask again from `next_offset` while it is not None.

    `searched` counts the files that were searched to their end. `engine` is what did it; why it
    was not ripgrep is in `engine_reason`. `unreadable` and `timed_out` are as those of
    `FindFilesObservation`.
    """

    observation: Literal["grep"] = "grep"
    path: str
    matches: tuple[GrepMatch, ...] = ()
    files: tuple[GrepFile, ...] = ()
    next_offset: int | None = None
    searched: int
    engine: Literal["ripgrep", "python"]
    engine_reason: str = ""
    unreadable: tuple[str, ...] = ()
    timed_out: bool = False


class DiskUsageEntry(Message):
    """A folder with all that is in it: the bytes in its files, those on disk, and how many."""

    path: str
    size: int
    allocated: int
    files: int
    directories: int


class DiskUsageObservation(Observation):
    """What a tree takes: `size` is the bytes in its files, `allocated` those on disk.

    `entries` are folders in it, by `allocated`, and `omitted` more were too many. `disk_free` is
    what the user of the sandbox may still write to the file system that `path` is on.
    """

    observation: Literal["disk_usage"] = "disk_usage"
    path: str
    size: int
    allocated: int
    files: int
    directories: int
    entries: tuple[DiskUsageEntry, ...] = ()
    omitted: int = 0
    disk_total: int
    disk_free: int
    inodes_total: int
    inodes_free: int
    unreadable: tuple[str, ...] = ()
    timed_out: bool = False


class FileWatchObservation(Observation):
    """A watch has ended: why, how many changes it told, and the first thousand of them again."""

    observation: Literal["watch"] = "watch"
    path: str
    ended: Literal["timeout", "limit", "gone"]
    total: int
    changes: tuple[FileChange, ...] = ()
    overflows: int = 0


class TransferObservation(Observation):
    """A transfer that is whole: bytes and CRC-32 of what crossed, and the number of files.

    For a file these are its own; a tree crosses as tar. `notes` tells what was not copied like
    the rest, each with its `path` below the tree's top, a `reason` (`special_file`,
    `link_leads_out`, `dangling_link`, `link_loop`, `followed_out_of_tree`) and whether it was
    `copied` all the same: the first hundred of `notes_total`.
    """

    observation: Literal["transfer"] = "transfer"
    path: str
    kind: Literal["file", "tree"]
    bytes: int
    crc32: str
    files: int
    notes: Notes = ()
    notes_total: NotesCount = 0


class ErrorObservation(Observation):
    """An action failed. `code` is stable; `hint` says what to do next."""

    observation: Literal["error"] = "error"
    code: ErrorCode
    message: str
    hint: str = ""
    data: dict[str, Any] = Field(default_factory=dict)


def error_observation(error: TetherError, action_id: str | None = None) -> ErrorObservation:
    """An error as the final event of an action."""
    return ErrorObservation(
        action_id=action_id,
        code=error.code,
        message=error.message,
        hint=error.hint,
        data=error.data,
    )


AnyObservation = Annotated[
    CmdOutputObservation
    | SessionResetObservation
    | ScreenObservation
    | ListProcessesObservation
    | ExecObservation
    | ExecAttachedObservation
    | ListExecsObservation
    | DoneObservation
    | FileReadObservation
    | FileWriteObservation
    | FileEditObservation
    | ListFilesObservation
    | FileStatObservation
    | FindFilesObservation
    | GrepObservation
    | DiskUsageObservation
    | FileWatchObservation
    | TransferObservation
    | PortReadyObservation
    | ListPluginsObservation
    | OpaqueObservation
    | ErrorObservation,
    Field(discriminator="observation"),
]

observation_adapter: TypeAdapter[AnyObservation] = TypeAdapter(AnyObservation, config=LATER)
