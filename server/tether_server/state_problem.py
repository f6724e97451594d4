"""Failures of the state folder, told from others: a full disk, a folder that cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import suppress

from tether_runtime_client.protocol.errors import StartFailed, StateUnusable

from .history_file import held, is_held
from .record import state_folder

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_DISK_ERRORS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
LITTLE = 256 * 1024
OTHER_FOLDER = "Set TETHER_STATE_DIR to a folder that you can write; `tether doctor` checks it"


def blame_state(problem: BaseException) -> None:
    """Raise `StateUnusable` for a start that failed because of the state folder."""
    unusable = state_problem(problem)
    if unusable is None and isinstance(problem, StartFailed) and _is_full():
        unusable = _no_room()  # the history that was to be written broke the connection
    if unusable is not None:
        raise unusable from problem


def state_problem(problem: BaseException) -> StateUnusable | None:
    """The error for what went wrong with the state folder; None for what is something else."""
    if isinstance(problem, sqlite3.OperationalError):
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full()):
            return _no_room()
        if is_held(problem):
            return held(f"a history in {state_folder()}")
        return _unusable(str(problem)) if code in _DISK_ERRORS else None
    if isinstance(problem, OSError) and _is_about_state(problem):
        if problem.errno in NO_ROOM:
            return _no_room()
        return _unusable(problem.strerror or str(problem))
    return None


def _is_about_state(problem: OSError) -> bool:
    """It names a file there; a write that found no room names none, and may be any file's."""
    if problem.filename is None:
        return problem.errno in NO_ROOM and _is_full()
    if not isinstance(problem.filename, str | bytes | os.PathLike):
        return False
    folder, path = os.fspath(state_folder()), os.fsdecode(problem.filename)
    # A folder above it may be what cannot be made.
    return path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/")


def _is_full() -> bool:
    """SQLite calls it an I/O error where its shared memory finds no room."""
    with suppress(OSError):
        return shutil.disk_usage(state_folder()).free < LITTLE
    return False


def _no_room() -> StateUnusable:
    return StateUnusable(
        f"there is no room in {state_folder()}",
        hint="Free some (`tether rm --all` removes old histories), or set TETHER_STATE_DIR",
    )


def _unusable(reason: str) -> StateUnusable:
    return StateUnusable(
        f"the state folder {state_folder()} cannot be used: {reason}", hint=OTHER_FOLDER
    )
