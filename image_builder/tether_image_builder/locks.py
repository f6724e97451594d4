"""Locks between processes, so that two builds of the same thing make it once."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from .stopping import Stop

IMAGES = "images"


def cache_folder() -> Path:
    """TETHER_CACHE_DIR, else `tether` in the user's cache folder."""
    if own := os.environ.get("TETHER_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tether"


def _lock_folder() -> Path:
    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home
        return _temporary_folder()
    return folder


def _temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"tether-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; set TETHER_CACHE_DIR")
    return folder


@contextmanager
def held(
    name: str,
    *,
    shared: bool = False,
    on_wait: Callable[[], None] | None = None,
    stop: Stop | None = None,
) -> Iterator[None]:
    """Holds the lock of that name, after waiting for whoever has it; threads count too.

    The kernel lets go of it when the process ends, however it ends.

    Args:
        name: what is locked; anything may stand in it.
        shared: only whoever holds it alone is kept out, and keeps this one out.
        on_wait: is called once when the lock is not free.
        stop: ends the waiting.

    Raises:
        Stopped: by `stop`.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    file_name = re.sub(r"[^A-Za-z0-9_.]+", "-", name) + ".lock"
    path = _lock_folder() / file_name
    with path.open("w") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            if stop is None:
                fcntl.flock(file, kind)
            else:
                _wait(file, kind, stop)
        yield


def _wait(file: IO[str], kind: int, stop: Stop) -> None:
    """Nothing ends a thread's waiting for a lock: one that nobody waits for does it, with a
    descriptor of its own for the same lock, and lets go of it by closing that.
    """
    came: SimpleQueue[Exception | None] = SimpleQueue()
    copy = os.dup(file.fileno())

    def wait() -> None:
        try:
            fcntl.flock(copy, kind)
        finally:
            os.close(copy)
            came.put(None)

    with stop.wakes(came):
        threading.Thread(target=wait, name="tether-lock", daemon=True).start()
        if (problem := came.get()) is not None:
            raise problem


def images_in_use() -> AbstractContextManager[None]:
    """Held by whoever looks for images and environments and then uses what it found.

    Any number may hold it at the same time, also more than once; `prune` waits for all of them.
    """
    return held(IMAGES, shared=True)
