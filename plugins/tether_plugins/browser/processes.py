"""The processes of a browser and of what drives it, for the case that they do not end when told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from .place import FOLDERS


def of_browser(state: Path) -> list[int]:
    """Those below this process that have the plugin's own home."""
    with suppress(OSError):  # where the kernel does not tell children
        return [pid for pid in _below(os.getpid()) if _has_home(pid, state)]
    return []


def kill(pids: Iterable[int], state: Path) -> None:
    """Those that are still there: one that is stopped heeds nothing else."""
    for pid in pids:
        if _has_home(pid, state):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _has_home(pid: int, state: Path) -> bool:
    mark = f"HOME={state / FOLDERS['HOME']}".encode()
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
