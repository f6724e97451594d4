"""What goes wrong with Jupyter kernels; what goes wrong in a cell is no error but its outcome."""

from __future__ import annotations

from .action import ActionError


class KernelError(ActionError):
    """The base of what goes wrong with a Jupyter kernel; `data["kernel"]` names it."""

    code = "kernel_error"


class KernelStartFailed(KernelError):
    """No Python that may be taken came up with a kernel; `message` says why for each of them."""

    code = "kernel_start_failed"
    default_hint = "Choose another with `python`: `environment` is the one that Tether brings"


class KernelWaitsForInput(KernelError):
    """A cell was sent while another of that kernel waits for input; it was not begun."""

    code = "kernel_waits_for_input"
    default_hint = "Answer with IPythonInputAction, interrupt it, or use another kernel"


class NoSuchKernel(KernelError):
    """There is no kernel of that name."""

    code = "no_such_kernel"
    default_hint = "IPythonListKernelsAction tells which there are; a cell starts a new one"


class KernelUnresponsive(KernelError):
    """The kernel did not answer in time: what it runs goes on."""

    code = "kernel_unresponsive"
    default_hint = "Wait for its cell, or interrupt it with IPythonInterruptAction"


class KernelLimit(KernelError):
    """There are as many kernels as may be."""

    code = "kernel_limit"
    default_hint = "End one with IPythonShutdownAction, or raise `max_kernels` in the configuration"
