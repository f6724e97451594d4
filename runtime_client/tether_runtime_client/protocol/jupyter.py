"""Python cells in Jupyter kernels: the actions, observations and events of the plugin `jupyter`.

They cross the wire as every plugin's do, unread by the client. A cell's outputs are what a notebook
would show of it: streams, displays, a result, an error. What a kernel says is the agent's doing and
hostile: each part is checked and bounded before it becomes one of these.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .action import Seconds
from .jupyter_events import (
    IPythonDisplayUpdated,
    IPythonKernelEnded,
    IPythonKernelStarted,
    IPythonOutputCleared,
    IPythonOutputOmitted,
    IPythonOutputShown,
    IPythonStreamDelta,
    IPythonWaitingForInput,
)
from .jupyter_outputs import (
    CellOutput,
    DisplayData,
    DisplayOutput,
    DisplayUpdate,
    ErrorOutput,
    InputPrompt,
    KernelEnd,
    KernelEndCause,
    KernelName,
    MimeBundle,
    OmittedPart,
    PythonInfo,
    ResultOutput,
    StreamOutput,
)
from .message import Message
from .plugin_actions import PluginAction
from .plugin_observations import PluginObservation

__all__ = [
    "CellOutput",
    "CellStatus",
    "DisplayData",
    "DisplayOutput",
    "DisplayUpdate",
    "ErrorOutput",
    "IPythonCompleteAction",
    "IPythonCompleteObservation",
    "IPythonDisplayUpdated",
    "IPythonInputAction",
    "IPythonInspectAction",
    "IPythonInspectObservation",
    "IPythonInterruptAction",
    "IPythonInterruptObservation",
    "IPythonKernelEnded",
    "IPythonKernelObservation",
    "IPythonKernelStarted",
    "IPythonListKernelsAction",
    "IPythonListKernelsObservation",
    "IPythonOutputCleared",
    "IPythonOutputOmitted",
    "IPythonOutputShown",
    "IPythonRestartAction",
    "IPythonRunCellAction",
    "IPythonRunCellObservation",
    "IPythonShutdownAction",
    "IPythonStreamDelta",
    "IPythonWaitingForInput",
    "InputPrompt",
    "KernelEnd",
    "KernelEndCause",
    "KernelInfo",
    "KernelName",
    "KernelState",
    "MimeBundle",
    "OmittedPart",
    "PythonInfo",
    "ResultOutput",
    "StreamOutput",
]

CellStatus = Literal[
    "ok", "error", "interrupted", "timeout", "waiting_for_input", "aborted", "kernel_died"
]
"""How it came out: it ended well, raised, was interrupted by an action or when its time was over,
waits for an answer, was given up before it was begun, or its kernel ended under it.
"""
KernelState = Literal["not_started", "starting", "idle", "busy", "waiting_for_input", "ended"]
Cursor = Annotated[int, Field(ge=0)]


class KernelInfo(Message):
    """A kernel by its name. `memory` is what it has in use, in bytes, `queued` are cells."""

    name: KernelName
    state: KernelState
    python: PythonInfo | None = None
    pid: int | None = None
    execution_count: int = 0
    queued: int = 0
    started: float | None = None
    memory: int | None = None
    cwd: str | None = None
    end: KernelEnd | None = None


class IPythonRunCellObservation(PluginObservation):
    """What a cell came to: what is new since the last observation of it.

    `content` is all of it as text: streams and tracebacks without control sequences, of displays
    their text, each image by a line that says how large it is. `outputs` are what a notebook would
    show, in order; of too many the middle is missing, `outputs_omitted` of them. Streams are cut in
    the middle past 256 KiB (`truncated`); `total_bytes` counts them whole. All of them is in the
    file at `full_output_path` then, and large displays are in files of their own, each named where
    it is missing. `incomplete` says what is nowhere, and why.

    `traceback` is without colour, `traceback_ansi` with it. `background` is what earlier cells
    wrote after their end. `end` says how the kernel ended while the cell ran, `state_lost` that it
    had ended before: this cell had a fresh one. `oom_kills` counts the sandbox's processes that the
    kernel of the machine killed for want of memory meanwhile.
    """

    observation: Literal["jupyter.run_cell"] = "jupyter.run_cell"
    content: str
    outputs: tuple[CellOutput, ...] = ()
    outputs_omitted: int = 0
    status: CellStatus
    execution_count: int | None = None
    traceback: str | None = None
    traceback_ansi: str | None = None
    kernel: KernelName = "default"
    python: PythonInfo | None = None
    input_prompt: InputPrompt | None = None
    updates: tuple[DisplayUpdate, ...] = ()
    background: str = ""
    truncated: bool = False
    total_bytes: int = 0
    full_output_path: str | None = None
    incomplete: str | None = None
    end: KernelEnd | None = None
    state_lost: KernelEnd | None = None
    oom_kills: int = 0
    duration_s: float = 0.0


class IPythonInterruptObservation(PluginObservation):
    """Whether a cell was `interrupted`, and how many queued ones were given up.

    `cell` is the rest of one that waited for input: nobody else is told of it.
    """

    observation: Literal["jupyter.interrupt"] = "jupyter.interrupt"
    kernel: KernelName
    interrupted: bool
    given_up: int = 0
    cell: IPythonRunCellObservation | None = None


class IPythonKernelObservation(PluginObservation):
    """A kernel after a restart, or after its end."""

    observation: Literal["jupyter.kernel"] = "jupyter.kernel"
    kernel: KernelInfo


class IPythonListKernelsObservation(PluginObservation):
    """All kernels, by name."""

    observation: Literal["jupyter.list"] = "jupyter.list"
    kernels: tuple[KernelInfo, ...]


class IPythonCompleteObservation(PluginObservation):
    """What may stand for the code's characters [`start`, `end`)."""

    observation: Literal["jupyter.complete"] = "jupyter.complete"
    matches: tuple[str, ...]
    start: int
    end: int
    truncated: bool = False


class IPythonInspectObservation(PluginObservation):
    """What is known of a name; `content` is its text without colour."""

    observation: Literal["jupyter.inspect"] = "jupyter.inspect"
    found: bool
    content: str = ""
    data: MimeBundle = Field(default_factory=MimeBundle)


class IPythonRunCellAction(PluginAction[IPythonRunCellObservation]):
    """Run a cell in a kernel, which is started when needed → `IPythonRunCellObservation`.

    Cells of one kernel run one after the other, in the order in which they came; those of several
    side by side. When `timeout_s` is over the cell is interrupted, and the kernel keeps its state;
    the time spent waiting for other cells counts too. With `session` the cell begins in the present
    directory of that shell session. `python` says which Python a kernel that is started now is to
    have: `auto`, `image`, `environment`, a path, a program on PATH, or a name of the plugin's
    configuration. Without `allow_input` an `input()` raises in the cell.
    """

    action: Literal["jupyter.run_cell"] = "jupyter.run_cell"
    code: str
    kernel: KernelName = "default"
    timeout_s: Seconds | None = None
    session: str | None = None
    python: str | None = None
    allow_input: bool = True


class IPythonInputAction(PluginAction[IPythonRunCellObservation]):
    """Answer a cell that waits for input → `IPythonRunCellObservation` with what is new since."""

    action: Literal["jupyter.input"] = "jupyter.input"
    text: str
    kernel: KernelName = "default"
    timeout_s: Seconds | None = None


class IPythonInterruptAction(PluginAction[IPythonInterruptObservation]):
    """Interrupt what a kernel runs; its state stays → `IPythonInterruptObservation`.

    With `queued` the cells that wait for their turn there are given up as well.
    """

    action: Literal["jupyter.interrupt"] = "jupyter.interrupt"
    kernel: KernelName = "default"
    queued: bool = False


class IPythonRestartAction(PluginAction[IPythonKernelObservation]):
    """Replace a kernel by a fresh one → `IPythonKernelObservation`. Its queued cells are given up.

    `python` as in `IPythonRunCellAction`; None keeps the one that it had.
    """

    action: Literal["jupyter.restart"] = "jupyter.restart"
    kernel: KernelName = "default"
    python: str | None = None


class IPythonShutdownAction(PluginAction[IPythonKernelObservation]):
    """End a kernel and forget its name → `IPythonKernelObservation`."""

    action: Literal["jupyter.shutdown"] = "jupyter.shutdown"
    kernel: KernelName = "default"


class IPythonListKernelsAction(PluginAction[IPythonListKernelsObservation]):
    """List the kernels → `IPythonListKernelsObservation`."""

    action: Literal["jupyter.list"] = "jupyter.list"


class IPythonCompleteAction(PluginAction[IPythonCompleteObservation]):
    """What may stand at a place in a code → `IPythonCompleteObservation`, in the cells' order.

    `cursor` counts characters; None is the end.
    """

    action: Literal["jupyter.complete"] = "jupyter.complete"
    code: str
    cursor: Cursor | None = None
    kernel: KernelName = "default"
    timeout_s: Seconds = 30.0


class IPythonInspectAction(PluginAction[IPythonInspectObservation]):
    """What is known of the name at a place → `IPythonInspectObservation`; `detail=1` has source."""

    action: Literal["jupyter.inspect"] = "jupyter.inspect"
    code: str
    cursor: Cursor | None = None
    detail: Literal[0, 1] = 0
    kernel: KernelName = "default"
    timeout_s: Seconds = 30.0
