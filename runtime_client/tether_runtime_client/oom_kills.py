"""How many processes the kernel has killed here because memory had run out."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .private_files import read_small, write_small

FRESH_S = 0.05
"""A count as old as this is as good as a new one to begin with: looking has its price."""

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_GROUPS = Path("/sys/fs/cgroup")
_GROUP_FILE = "memory.events"
_OLD_GROUP_FILE = "memory.oom_control"
_MACHINE = Path("/proc/vmstat")
_READ = 16 * 1024

log = logging.getLogger(__name__)


class OomKills:
    """The kernel's own count, looked at when asked for. `told` hears of every growth, once.

    `counter` is what `find_counter` found, `kept` a file that remembers what was told for a later
    life of this process.
    """

    def __init__(
        self,
        counter: Path | None,
        told: Callable[[int], None] = lambda _: None,
        kept: Path | None = None,
    ) -> None:
        self._file = os.open(counter, os.O_RDONLY | os.O_CLOEXEC) if counter is not None else -1
        self._told = told
        self._kept = kept
        self._read_at = float("-inf")
        self._total = 0
        self._total = self._read()
        self.missed = self._missed()
        """Those that nobody has been told of, since an earlier life looked last."""
        self._keep()

    def mark(self) -> int:
        """To be given to `since`."""
        if time.monotonic() - self._read_at > FRESH_S:
            self._look()
        return self._total

    def since(self, mark: int) -> int:
        """How many were killed since the mark was taken."""
        self._look()
        return self._total - mark

    def close(self) -> None:
        """Look no more. Twice is safe."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _look(self) -> None:
        before, self._total = self._total, self._read()
        if self._total > before:
            self._keep()
            self._told(self._total - before)

    def _read(self) -> int:
        """The count; never less than before, also where it cannot be read any more."""
        if self._file < 0:
            return self._total
        self._read_at = time.monotonic()
        try:
            found = _COUNT.search(os.pread(self._file, _READ, 0))
        except OSError:
            return self._total
        return max(int(found[1]), self._total) if found else self._total

    def _missed(self) -> int:
        """The kernel's count begins anew with a new container or a new boot."""
        try:
            before = int(read_small(self._kept)) if self._kept is not None else self._total
        except (OSError, ValueError):
            return 0
        return self._total - before if before <= self._total else self._total

    def _keep(self) -> None:
        if self._kept is None:
            return
        try:
            write_small(self._kept, str(self._total).encode())
        except OSError as problem:  # a full disk, mostly
            log.warning("the count of processes killed for memory cannot be kept: %s", problem)


def find_counter(process: Path = Path("/proc/self"), groups: Path = _GROUPS) -> Path | None:
    """The file that counts: of the memory group this process is in, else of the whole machine.

    In a container that group is the container's. The root group counts only what is in no other.
    """
    for file in (*_of_group(process, groups), _MACHINE):
        if _counts(file):
            return file
    return None


def _of_group(process: Path, groups: Path) -> Iterator[Path]:
    """Version 1 has a tree for memory alone. A container may be shown its own part as the root."""
    try:
        lines = (process / "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        tree = groups / "memory" if kinds else groups
        name = _OLD_GROUP_FILE if kinds else _GROUP_FILE
        yield tree / path.lstrip("/") / name
        yield tree / name


def _counts(file: Path) -> bool:
    try:
        in_root = (file.parent / "release_agent").exists()  # only there, and only in version 1
        return not in_root and _COUNT.search(file.read_bytes()) is not None
    except OSError:
        return False
