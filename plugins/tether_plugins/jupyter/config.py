"""What can be set of the plugin, for a whole sandbox."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tether_runtime_client.plugin import Message

_Seconds = Annotated[float, Field(gt=0, le=3600)]
_GIB = 1024**3


class JupyterConfig(Message):
    """The configuration of the plugin `jupyter`.

    Attributes:
        python: which Python kernels have where an action says nothing: `auto` (the image's where a
            kernel comes up in it, else the environment's), `image`, `environment`, a path, a
            program on PATH, or one of `pythons`.
        pythons: names for paths and programs.
        max_kernels: how many there may be at once.
        start_timeout_s: how long a kernel may take to come up.
        interrupt_grace_s: how long a cell whose time is over may ignore interrupts, until its
            kernel is killed.
        cell_files_bytes: what one cell's long outputs may take on disk.
        files_bytes: what those of all cells may take; the oldest go first.
    """

    python: str = "auto"
    pythons: dict[str, str] = Field(default_factory=dict)
    max_kernels: Annotated[int, Field(ge=1, le=500)] = 64
    start_timeout_s: _Seconds = 60.0
    interrupt_grace_s: _Seconds = 10.0
    cell_files_bytes: Annotated[int, Field(ge=0)] = _GIB
    files_bytes: Annotated[int, Field(ge=0)] = 2 * _GIB
