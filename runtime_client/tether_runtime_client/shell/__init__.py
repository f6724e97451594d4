"""Stateful bash sessions: commands go in on one channel, status comes out on another.

The terminal carries only what programs read and write. Start with `ShellSession`.
"""

from .bash_choice import BashChoice, SelfTest, bash_selftest, bundled_bash, choose_bash
from .command import CommandEnd, OutputSink, RunningCommand, StateLost, WaitEvidence
from .config import ShellConfig, Startup
from .errors import (
    CommandInvalid,
    CommandRunning,
    InputTooLong,
    NoForeground,
    NoMeans,
    NoShell,
    SessionClosed,
    ShellError,
    ShellStartError,
    UnknownKey,
)
from .listener import SessionListener
from .session import ShellSession

__all__ = [
    "BashChoice",
    "CommandEnd",
    "CommandInvalid",
    "CommandRunning",
    "InputTooLong",
    "NoForeground",
    "NoMeans",
    "NoShell",
    "OutputSink",
    "RunningCommand",
    "SelfTest",
    "SessionClosed",
    "SessionListener",
    "ShellConfig",
    "ShellError",
    "ShellSession",
    "ShellStartError",
    "Startup",
    "StateLost",
    "UnknownKey",
    "WaitEvidence",
    "bash_selftest",
    "bundled_bash",
    "choose_bash",
]
