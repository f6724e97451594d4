"""What happens, in the order it happened. Everything a reader of the stream sees is an `Event`.

Events of the sandbox are made, numbered and journalled by the runtime client; those of the last
section only the server can see. `seq` is the server's number, gap-free over the sandbox's life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, TypeAdapter

from .actions import AnyAction
from .attributes import FileAttributes
from .event import Event as Event
from .message import LATER, Message
from .plugin_actions import PluginAction
from .plugin_events import OpaqueEvent as OpaqueEvent
from .plugin_events import PluginEvent as PluginEvent
from .plugin_events import PluginEventsOmitted as PluginEventsOmitted
from .plugin_events import PluginFailed as PluginFailed
from .plugin_events import PluginStarted as PluginStarted
from .plugin_events import PluginStopped as PluginStopped
from .plugin_events import PluginWarning as PluginWarning

ShellEndCause = Literal[
    "exit", "signal", "out_of_memory", "exec", "broken", "reset", "closed", "client_died"
]
"""Why a shell is no more: it ended by itself, a signal or the kernel's want of memory ended it, it
was replaced by another program, it could not be used any more, or it was ended with all it ran.
"""

SandboxStopCause = Literal[
    "closed", "stopped", "killed", "out_of_memory", "removed", "lease_expired", "failed", "unknown"
]
"""Why a sandbox is no more: its runtime was closed, somebody stopped it, a signal ended it, memory
ran out, somebody removed it, no server came in time, or its client could not go on.
"""


class ClientStarted(Event):
    """A runtime client came up; the first event of every epoch.

    `lost_actions` are those its predecessor had accepted and not ended: each is reported lost.
    `previous_end` says how that ended, as `signal 9 (SIGKILL)` or `exit code 1`, where it died
    while its supervisor lived, and `oom_kills` how many processes the kernel had killed for want of
    memory since anybody looked.
    """

    event: Literal["client_started"] = "client_started"
    version: str
    pid: int
    shell: str
    shell_reason: str
    lost_actions: tuple[str, ...] = ()
    previous_end: str | None = None
    oom_kills: int = 0


class ActionAccepted(Event):
    """The client has the action and will not run it again, whatever happens."""

    event: Literal["accepted"] = "accepted"
    kind: str


class CmdOutputDelta(Event):
    """Output of a running command: bytes [offset, offset + length) of its log, as text.

    `content` is decoded with replacement and never split inside a character.
    """

    event: Literal["output"] = "output"
    content: str
    session: str
    offset: int
    length: int


class ExecOutputDelta(Event):
    """Output of a running exec: bytes from `offset` of one of its two streams."""

    event: Literal["exec_output"] = "exec_output"
    stream: Literal["stdout", "stderr"]
    data: bytes
    offset: int


class OutputOmitted(Event):
    """Stands for the deltas of bytes [from_offset, to_offset), which were too many to keep.

    They are whole in the sandbox's file at `path`. `stream` tells an exec's two streams apart.
    """

    event: Literal["output_omitted"] = "output_omitted"
    stream: Literal["stdout", "stderr"] | None = None
    from_offset: int
    to_offset: int
    path: str | None = None


class BackgroundOutput(Event):
    """Output that came to a session's terminal while no command ran there."""

    event: Literal["background_output"] = "background_output"
    session: str
    content: str


class CommandEnded(Event):
    """A command that had been reported as still running has ended.

    Where it ended with the client, the next client tells it: `session_ended` without an exit code,
    and `total_bytes` are those that are known of.
    """

    event: Literal["command_ended"] = "command_ended"
    session: str
    exit_code: int | None = None
    status: Literal["completed", "interrupted", "session_ended"]
    total_bytes: int
    oom_kills: int = 0


class SessionEnded(Event):
    """A session's shell is gone; the next command there starts a fresh one."""

    event: Literal["session_ended"] = "session_ended"
    session: str
    cause: ShellEndCause
    reason: str


class SessionWarning(Event):
    """Something odd in a session that lost nothing, such as a forged status that was discarded."""

    event: Literal["session_warning"] = "session_warning"
    session: str
    message: str


class OutOfMemory(Event):
    """The kernel has killed processes of the sandbox because memory had run out.

    `oom_kills` counts those since the last such event. The kernel's count is looked at when a
    command begins or ends, so that what it killed between commands is told with the next one. It
    is the container's own; without one it is that of the client's memory group or of the machine.
    """

    event: Literal["out_of_memory"] = "out_of_memory"
    oom_kills: int


class EntrypointStarted(Event):
    """The image's own ENTRYPOINT and CMD run beside the client; `output_path` has its output."""

    event: Literal["entrypoint_started"] = "entrypoint_started"
    pid: int
    output_path: str | None = None


class EntrypointEnded(Event):
    """What ran beside the client has ended, or could not be started; the client goes on.

    `exit_code` is 128 + `signal` when a signal ended it, and None when it could not be started:
    `reason` says why. `output` is the last of what it wrote.
    """

    event: Literal["entrypoint_ended"] = "entrypoint_ended"
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str
    output: str = ""
    output_path: str | None = None


class TransferReady(Event):
    """The client waits for a bulk connection that shows this ticket, once.

    `size` and `attributes` are of a file that it is about to send.
    """

    event: Literal["transfer_ready"] = "transfer_ready"
    ticket: str
    kind: Literal["file", "tree"]
    size: int | None = None
    attributes: FileAttributes | None = None


class WatchReady(Event):
    """A watch is in place, on so many folders: what changes from now on is told."""

    event: Literal["watch_ready"] = "watch_ready"
    folders: int


class FileChange(Message):
    """What happened to a path, which is from the watched folder (empty: the watched path itself).

    `written` means that somebody who could write to a file has closed it, `attributes` that its
    mode, owner, times or number of names changed. A `moved` one was at `from_path`. What leaves the
    tree is `deleted` and what comes into it `created`.
    """

    path: str
    kind: Literal["created", "modified", "written", "attributes", "moved", "deleted"]
    directory: bool = False
    from_path: str | None = None


class FilesChanged(Event):
    """Changes that a watch saw, in order; the same one twice in a moment is told once.

    What a folder held when it came into a watched tree is told as created, and may be told twice.
    """

    event: Literal["files_changed"] = "files_changed"
    changes: tuple[FileChange, ...]


class WatchOverflow(Event):
    """A watch has missed changes, and goes on: look at the tree itself. `reason` says why."""

    event: Literal["watch_overflow"] = "watch_overflow"
    reason: str


class HistoryGap(Event):
    """Events that are truly gone: how many where known, and why."""

    event: Literal["history_gap"] = "history_gap"
    epoch: str
    first: int
    last: int | None = None
    reason: str


# --- seen by the server only -----------------------------------------------------------------


if TYPE_CHECKING:
    SubmittedAction = AnyAction | PluginAction[Any]
else:  # as a plugin's own it is never read, only made from the opaque one
    SubmittedAction = SerializeAsAny[AnyAction]


class ActionSubmitted(Event):
    """An action as it was stored, before it was sent."""

    event: Literal["submitted"] = "submitted"
    action: SubmittedAction


class StartProgress(Event):
    """What was done, or waited for, on the way to a client that answers.

    A `cold` start makes the sandbox, a `warm` one finds it.
    """

    event: Literal["start_progress"] = "start_progress"
    start: Literal["cold", "warm"]
    message: str


class SandboxStarted(Event):
    """The place where the client runs was started, or found again by `attach`."""

    event: Literal["sandbox_started"] = "sandbox_started"
    name: str
    backend: str
    image: str | None = None
    attached: bool = False


class Connected(Event):
    """The server and the client talk; `reason` says why this transport was taken."""

    event: Literal["connected"] = "connected"
    transport: str
    reason: str
    epoch: str
    outage_s: float = 0.0


class ConnectionLost(Event):
    """The connection went; it is being made anew, and nothing is lost."""

    event: Literal["connection_lost"] = "connection_lost"
    reason: str


class ConnectionTrouble(Event):
    """The connection cannot be made anew, and not because nothing answers: something else stands in
    the client's place, or answers there. It is tried on; each reason is told once an outage.
    """

    event: Literal["connection_trouble"] = "connection_trouble"
    reason: str


class SandboxInterrupted(Event):
    """The sandbox was stopped, and what ran in it has ended; it is not gone. Once it runs again it
    is connected to again. `exit_code` is its main process's, where it is known.
    """

    event: Literal["sandbox_interrupted"] = "sandbox_interrupted"
    cause: SandboxStopCause = "unknown"
    reason: str
    exit_code: int | None = None


class SandboxStopped(Event):
    """The sandbox is gone. `exit_code` is its main process's, where it is known."""

    event: Literal["sandbox_stopped"] = "sandbox_stopped"
    cause: SandboxStopCause = "unknown"
    reason: str
    exit_code: int | None = None


class SidecarStarted(Event):
    """The sidecar of a plugin listens, for the first time or again; it was made of this image."""

    event: Literal["sidecar_started"] = "sidecar_started"
    plugin: str
    image: str


class SidecarLost(Event):
    """The sidecar of a plugin has ended, or did not come back: `reason` says why. The sandbox goes
    on, and another one is started; what the plugin had in it is gone, which its next observation
    tells. A reason that repeats is told once.
    """

    event: Literal["sidecar_lost"] = "sidecar_lost"
    plugin: str
    cause: SandboxStopCause = "unknown"
    reason: str
    exit_code: int | None = None


PortDirection = Literal["forward", "reverse"]


class PortOpened(Event):
    """A port is mapped from now on: who connects at one end gets to the other. `inside` and `here`
    are addresses in the sandbox and at the server; of a `forward` here is where one connects.
    """

    event: Literal["port_opened"] = "port_opened"
    direction: PortDirection
    inside: str
    here: str


class PortTrouble(Event):
    """Connections through a port fail, and are reset. Told once, until one succeeds again, and not
    more often than every ten seconds; `failed` is how many there were in all.
    """

    event: Literal["port_trouble"] = "port_trouble"
    direction: PortDirection
    inside: str
    here: str
    reason: str
    failed: int


class PortClosed(Event):
    """A port is mapped no more. `connections` is how many went through it."""

    event: Literal["port_closed"] = "port_closed"
    direction: PortDirection
    inside: str
    here: str
    reason: str
    connections: int


AnySandboxEvent = Annotated[
    ClientStarted
    | ActionAccepted
    | CmdOutputDelta
    | ExecOutputDelta
    | OutputOmitted
    | BackgroundOutput
    | CommandEnded
    | SessionEnded
    | SessionWarning
    | OutOfMemory
    | EntrypointStarted
    | EntrypointEnded
    | TransferReady
    | WatchReady
    | FilesChanged
    | WatchOverflow
    | PluginStarted
    | PluginFailed
    | PluginStopped
    | PluginEventsOmitted
    | OpaqueEvent
    | HistoryGap,
    Field(discriminator="event"),
]

AnyServerEvent = Annotated[
    ActionSubmitted
    | StartProgress
    | SandboxStarted
    | Connected
    | ConnectionLost
    | ConnectionTrouble
    | SandboxInterrupted
    | SidecarLost
    | SidecarStarted
    | SandboxStopped
    | PortOpened
    | PortTrouble
    | PortClosed
    | PluginWarning
    | HistoryGap,
    Field(discriminator="event"),
]

server_event_adapter: TypeAdapter[AnyServerEvent] = TypeAdapter(AnyServerEvent, config=LATER)
