"""Processes: started, fed, read from, signalled and waited for.

`start_process` is the way in, and `start_on_terminal` where a program wants a terminal. Everything
here belongs to one asyncio loop and is called on it.
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
from .launch import LaunchOptions
from .process import ExitStatus, Process
from .start import PIPE, start_process
from .tty import TerminalProcess, start_on_terminal
from .users import Account, find_account, with_group

__all__ = [
    "PIPE",
    "Account",
    "ArgumentsTooLong",
    "CommandNotFound",
    "ExitStatus",
    "InvalidArgument",
    "LaunchOptions",
    "NotExecutable",
    "Process",
    "ProcessStartError",
    "SpawnFailed",
    "TerminalProcess",
    "UnknownUser",
    "UserNotPermitted",
    "WorkingDirectoryMissing",
    "find_account",
    "start_on_terminal",
    "start_process",
    "with_group",
]
