"""What a Jupyter kernel and its running cell tell, in the order in which it happens."""

from __future__ import annotations

from typing import Literal

from .jupyter_outputs import (
    CellOutput,
    DisplayUpdate,
    InputPrompt,
    KernelEnd,
    KernelName,
    PythonInfo,
)
from .plugin_events import PluginEvent


class IPythonStreamDelta(PluginEvent):
    """What a running cell wrote, from byte `offset` of all that it wrote so far."""

    event: Literal["jupyter.stream"] = "jupyter.stream"
    kernel: KernelName
    name: Literal["stdout", "stderr"]
    text: str
    offset: int


class IPythonOutputShown(PluginEvent):
    """A running cell showed a display, a result or an error."""

    event: Literal["jupyter.output"] = "jupyter.output"
    kernel: KernelName
    output: CellOutput


class IPythonDisplayUpdated(PluginEvent):
    """A display shows something else from now on."""

    event: Literal["jupyter.display_update"] = "jupyter.display_update"
    kernel: KernelName
    update: DisplayUpdate


class IPythonOutputCleared(PluginEvent):
    """A cell took back what it had shown; with `wait` once it shows something new."""

    event: Literal["jupyter.clear_output"] = "jupyter.clear_output"
    kernel: KernelName
    wait: bool


class IPythonWaitingForInput(PluginEvent):
    """A cell waits for an `IPythonInputAction`."""

    event: Literal["jupyter.waiting_for_input"] = "jupyter.waiting_for_input"
    kernel: KernelName
    prompt: InputPrompt


class IPythonOutputOmitted(PluginEvent):
    """A cell's further outputs are too many to be told one by one: its observation sums them up."""

    event: Literal["jupyter.output_omitted"] = "jupyter.output_omitted"
    kernel: KernelName
    from_offset: int
    path: str | None = None


class IPythonKernelStarted(PluginEvent):
    """A kernel is ready for its first cell."""

    event: Literal["jupyter.kernel_started"] = "jupyter.kernel_started"
    kernel: KernelName
    pid: int
    python: PythonInfo
    duration_s: float


class IPythonKernelEnded(PluginEvent):
    """A kernel's process has ended, and its state with it."""

    event: Literal["jupyter.kernel_ended"] = "jupyter.kernel_ended"
    kernel: KernelName
    end: KernelEnd
