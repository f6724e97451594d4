"""Processes without a terminal: started, fed, read from, signalled and waited for.

`start_process` is the way in. Everything here belongs to one asyncio loop and is called on it.
"""

from .errors import (
    ArgumentsTooLong,
    CommandNotFound,
    InvalidArgument,
    NotExecutable,
    ProcessStartError,
    SpawnFailed,
    UnknownUser,
    UserNotPermitted,
    WorkingDirectoryMissing,
)
from .process import ExitStatus, Process
from .start import PIPE, start_process
from .users import Account, find_account

__all__ = [
    "PIPE",
    "Account",
    "ArgumentsTooLong",
    "CommandNotFound",
    "ExitStatus",
    "InvalidArgument",
    "NotExecutable",
    "Process",
    "ProcessStartError",
    "SpawnFailed",
    "UnknownUser",
    "UserNotPermitted",
    "WorkingDirectoryMissing",
    "find_account",
    "start_process",
]
