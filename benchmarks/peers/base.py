"""One way to run commands that is not Tether's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Run = Callable[[str], Awaitable[int]]
"""Runs a command to its end; returns the number of bytes it wrote. Raises when it failed."""

Call = Callable[[str], int]
"""The same for a library that blocks."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library in one mode.

    `open` gives a shell of its own, or where a command is a process of its own, the way to start
    one. Where a library blocks, `opens_call` gives the same as a plain call, and a crowd of its
    sessions takes as many threads.
    """

    name: str
    keeps: Literal["a shell, marked", "a shell, prompted", "nothing"]
    open: Callable[[], AbstractAsyncContextManager[Run]] | None = None
    opens_call: Callable[[], AbstractAsyncContextManager[Call]] | None = None
    place: Literal["local", "docker"] = "local"
    block: int = 25
    """Commands in a row in one turn: fewer of a slow one."""

    each: int = 200
    """Commands of each session in a crowd: fewer of a slow one."""

    has_terminal: bool = False
    most_output: int = 50_000_000
    """The most bytes it is asked for; above that it is not measured."""


Copy = Callable[[Path, Path], Awaitable[object]]
"""Copies a file or a folder to a name that nothing has yet, in a folder that is there."""


@dataclass(frozen=True, slots=True)
class Copier:
    """A way to copy into a place (`up`) and out of it (`down`).

    All places see the same folder, so that what came can be looked at from here.
    """

    name: str
    up: Copy
    down: Copy
    place: Literal["local", "docker"] = "local"
    slow: bool = False
    """It gets one run in a turn, where the others get several."""
