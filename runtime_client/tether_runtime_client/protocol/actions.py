"""What a server can ask of a sandbox. Every action names its answer in its docstring."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from .action import Action as Action
from .action import Environment, Seconds, SignalName, TerminalSide, bytes_not_text
from .attributes import FileAttributes
from .exec_actions import ExecAction as ExecAction
from .exec_actions import ExecAttachAction as ExecAttachAction
from .exec_actions import ExecSignalAction as ExecSignalAction
from .exec_actions import ExecStartAction as ExecStartAction
from .exec_actions import ListExecsAction as ListExecsAction
from .limits import MAX_SEQUENCE
from .message import LATER
from .plugin_actions import ListPluginsAction as ListPluginsAction
from .plugin_actions import OpaqueAction as OpaqueAction
from .plugin_actions import PluginAction as PluginAction
from .plugin_actions import PluginStopAction as PluginStopAction
from .port_actions import PortForwardAction as PortForwardAction
from .port_actions import PortReverseAction as PortReverseAction
from .tree_actions import (
    CancelAction,
    DiskUsageAction,
    FileStatAction,
    FileWatchAction,
    FindFilesAction,
    GrepAction,
)

SessionName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][\w.-]*$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
VariableValue = Annotated[str, Field(pattern=r"^[^\x00]*$")]
EncodingName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=64)]
OwnerName = Annotated[str, Field(min_length=1, max_length=256)]
Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...], Field(max_length=1000)
]
MAX_CELLS = 100_000
"""The most cells a session's terminal has: rows times columns."""


class CmdRunAction(Action):
    """Run a command in a shell session that keeps its state → `CmdOutputObservation`.

    `timeout_s` bounds the whole command, `no_output_timeout_s` its silence; past either the
    partial output is returned and the command *keeps running*. `cwd` and `env` hold for this
    command alone. `hidden` marks it as housekeeping for viewers; `ansi` keeps control sequences
    in `content`.
    """

    action: Literal["run"] = "run"
    command: str
    session: SessionName = "default"
    timeout_s: Seconds | None = None
    no_output_timeout_s: Seconds | None = None
    cwd: str | None = None
    env: Environment | None = None
    hidden: bool = False
    ansi: bool = False


class CmdInputAction(Action):
    """Type into what runs in a session → `CmdOutputObservation`.

    Exactly one of `text`, which is typed as it is (no newline is added), `key`, and `paste`, which
    goes in as a terminal pastes: line ends as the Enter key sends them, and between marks where
    the program asked for them (bracketed paste), so that an editor does not indent it and a prompt
    does not run it line by line.
    Keys: one character, `Enter`, `Tab`, `Backtab`, `Escape`, `Space`, `Backspace`, `Delete`,
    `Insert`, `Up`, `Down`, `Left`, `Right`, `Home`, `End`, `PageUp`, `PageDown`, `F1` to `F12`;
    with control as `C-c` or `Ctrl+C`, with meta as `M-x` or `Alt+X`, with shift as `S-Tab`.
    Returns what is new at the command's end, when it next waits for input, or after `timeout_s`.
    """

    action: Literal["input"] = "input"
    text: str | None = None
    key: str | None = None
    paste: str | None = None
    session: SessionName = "default"
    timeout_s: Seconds | None = 10.0

    @model_validator(mode="after")
    def _one_of_text_key_and_paste(self) -> Self:
        if sum(given is not None for given in (self.text, self.key, self.paste)) != 1:
            raise ValueError("give exactly one of text, key and paste")
        return self


class CmdInterruptAction(Action):
    """Send a signal to what runs in a session's foreground → `CmdOutputObservation`.

    Returns at the command's end or after `timeout_s`, if it goes on all the same: nothing else is
    done to it then. With `escalate` a command that goes on gets SIGTERM, and SIGKILL if that does
    not end it either; `timeout_s` holds for each of the signals. A loop of the shell's own that
    goes on all the same ends with the shell: the status is `session_ended` then.
    """

    action: Literal["interrupt"] = "interrupt"
    session: SessionName = "default"
    signal: SignalName = "SIGINT"
    timeout_s: Seconds | None = 5.0
    escalate: bool = False

    @model_validator(mode="after")
    def _escalates_in_time(self) -> Self:
        if self.escalate and self.timeout_s is None:
            raise ValueError("escalate needs timeout_s: how long to wait before the next signal")
        return self


class CmdPollAction(Action):
    """Wait up to `timeout_s` for more of a running command → `CmdOutputObservation`."""

    action: Literal["poll"] = "poll"
    session: SessionName = "default"
    timeout_s: Seconds | None = 0.0


class SessionResetAction(Action):
    """Kill all of a session and start a fresh shell under its name → `SessionResetObservation`."""

    action: Literal["reset"] = "reset"
    session: SessionName = "default"


class SessionResizeAction(Action):
    """Give a session's terminal another size → `DoneObservation`.

    What runs gets a SIGWINCH; later commands and shells of the session keep the size. It is 24
    rows of 200 columns at first, and never more than 100,000 cells.
    """

    action: Literal["resize"] = "resize"
    session: SessionName = "default"
    rows: TerminalSide
    cols: TerminalSide

    @model_validator(mode="after")
    def _not_too_many_cells(self) -> Self:
        if self.rows * self.cols > MAX_CELLS:
            raise ValueError(f"a terminal has at most {MAX_CELLS:,} cells")
        return self


class ScreenReadAction(Action):
    """Read what a session's terminal shows, as a person would see it → `ScreenObservation`.

    It is what the newest command has drawn, running or not. Reading takes nothing from the next
    output and never waits for a program; poll or type first to give it time to draw.
    """

    action: Literal["screen"] = "screen"
    session: SessionName = "default"


class ListProcessesAction(Action):
    """List what runs in the shell sessions, or in one of them → `ListProcessesObservation`.

    Jobs in the background and daemons that their sessions' shells have started are among it,
    whatever they did to be on their own. Oldest first, and `limit` of them at most.
    """

    action: Literal["list_processes"] = "list_processes"
    session: SessionName | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000


class ProcessSignalAction(Action):
    """Send a signal to a process that `ListProcessesAction` lists → `DoneObservation`.

    It goes to the whole process group, which is one job of a shell, or with `whole_group=False` to
    the process alone; never to a session's shell, for which there is `SessionResetAction`. With
    `started`, as it was listed, a later process of the same pid is not taken for it.
    """

    action: Literal["process_signal"] = "process_signal"
    pid: Annotated[int, Field(ge=1)]
    signal: SignalName = "SIGTERM"
    whole_group: bool = True
    started: float | None = None


class SetEnvAction(Action):
    """Set variables of everything that starts in the sandbox → `DoneObservation`.

    Execs, new sessions and terminals have them from now on, sessions that are there from their
    next command on, also after a reset and when the client is started anew. None takes a variable
    away. Names are those that a shell can set.
    """

    action: Literal["set_env"] = "set_env"
    env: dict[VariableName, VariableValue | None]


class FileReadAction(Action):
    """Read a file, or a range of its lines or bytes → `FileReadObservation`.

    Lines count from 1 and both ends are included. A text is UTF-8, or what its byte order mark
    says, unless `encoding` names another; what is no such text is an error. With `binary` the bytes
    come in `data`: `length` of them (None: all) from `offset`.
    """

    action: Literal["read"] = "read"
    path: str
    start_line: Annotated[int, Field(ge=1)] | None = None
    end_line: Annotated[int, Field(ge=1)] | None = None
    encoding: EncodingName | None = None
    binary: bool = False
    offset: Annotated[int, Field(ge=0, le=MAX_SEQUENCE)] = 0
    length: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _lines_or_bytes(self) -> Self:
        if self.binary and (self.start_line or self.end_line or self.encoding):
            raise ValueError("lines and an encoding have no meaning with binary=True")
        if not self.binary and (self.offset or self.length):
            raise ValueError("offset and length count bytes: they need binary=True")
        return self


class FileWriteAction(Action):
    """Write a whole file atomically, or append to it → `FileWriteObservation`.

    Exactly one of `content` (text, written as UTF-8 or in the named `encoding`) and `data` (bytes).
    An existing file keeps its mode, owner and link target unless `mode` says otherwise.
    """

    action: Literal["write"] = "write"
    path: str
    content: str | None = None
    data: bytes | None = None
    encoding: EncodingName | None = None
    append: bool = False
    make_parents: bool = True
    mode: Annotated[int, Field(ge=0, le=0o7777)] | None = None

    _bytes_not_text = field_validator("data", mode="before")(bytes_not_text)

    @model_validator(mode="after")
    def _one_of_content_and_data(self) -> Self:
        if (self.content is None) == (self.data is None):
            raise ValueError("give exactly one of content and data")
        if self.encoding is not None and self.content is None:
            raise ValueError("an encoding has no meaning for bytes")
        return self


class FileEditAction(Action):
    """Change part of a text file → `FileEditObservation`.

    `view` needs nothing more (`view_range` = first and last line, 1-based, -1 for the end),
    `create` needs `file_text`, `str_replace` `old_str` and `new_str`, `insert` `insert_line`
    (0 = before the first) and `new_str`; `undo_edit` takes the last edit back. Line ends and
    encoding stay as they are; `encoding` names one that is neither UTF-8 nor marked.
    """

    action: Literal["edit"] = "edit"
    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: Annotated[int, Field(ge=0)] | None = None
    view_range: tuple[int, int] | None = None
    encoding: EncodingName | None = None

    @model_validator(mode="after")
    def _has_what_its_command_needs(self) -> Self:
        needs = {
            "create": ("file_text",),
            "str_replace": ("old_str",),
            "insert": ("insert_line", "new_str"),
        }
        missing = [n for n in needs.get(self.command, ()) if getattr(self, n) is None]
        if missing:
            raise ValueError(f"{self.command} needs {' and '.join(missing)}")
        return self


class ListFilesAction(Action):
    """List a directory, sorted by name, a page at a time → `ListFilesObservation`.

    With `recursive` each folder comes before its content. Links and file systems that the kernel
    makes up (/proc) are not entered, unless `path` is one or in one.
    """

    action: Literal["list_files"] = "list_files"
    path: str = "."
    recursive: bool = False
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000


class UploadAction(Action):
    """Receive a file or a tree (as tar) on a bulk connection → `TransferObservation`.

    The client answers with a `TransferReady` event whose ticket opens that connection.
    `attributes` are for a file; a tree brings its own. `links` says what becomes of symbolic links
    that are absolute or climb out of the tree; `keep` makes them and never follows them. `owner`
    is None for whoever the client runs as, `keep` for the numbers that come, or a user of the
    sandbox as in `user:group`. `xattrs` takes extended attributes over.
    """

    action: Literal["upload"] = "upload"
    path: str
    kind: Literal["file", "tree"] = "file"
    attributes: FileAttributes | None = None
    links: Literal["refuse", "skip", "keep"] = "refuse"
    owner: OwnerName | None = None
    xattrs: bool = False


class DownloadAction(Action):
    """Send a file or a tree (as tar) on a bulk connection → `TransferObservation`.

    Of a tree, only what `include` matches comes, where it is not empty, and nothing that `exclude`
    matches. The patterns are those of `.gitignore`: one without a slash matches names at any
    depth, one with a slash counts from the tree's top, and one that ends in a slash matches
    folders only. `follow_links` sends what symbolic links lead to in their place.
    """

    action: Literal["download"] = "download"
    path: str
    include: Patterns = ()
    exclude: Patterns = ()
    follow_links: bool = False
    xattrs: bool = False


AnyAction = Annotated[
    CmdRunAction
    | CmdInputAction
    | CmdInterruptAction
    | CmdPollAction
    | SessionResetAction
    | SessionResizeAction
    | ScreenReadAction
    | ListProcessesAction
    | ProcessSignalAction
    | ExecAction
    | ExecStartAction
    | ExecAttachAction
    | ExecSignalAction
    | ListExecsAction
    | SetEnvAction
    | FileReadAction
    | FileWriteAction
    | FileEditAction
    | ListFilesAction
    | FileStatAction
    | FindFilesAction
    | GrepAction
    | DiskUsageAction
    | FileWatchAction
    | CancelAction
    | UploadAction
    | DownloadAction
    | PortForwardAction
    | PortReverseAction
    | ListPluginsAction
    | PluginStopAction
    | OpaqueAction,
    Field(discriminator="action"),
]

action_adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction, config=LATER)
