"""Every error users meet, in one tree, and the table from stable code to class.

    TetherError
    ├── ProtocolError      the connection: version, secret, frames, roles
    ├── ActionError        an action that failed; what an `ErrorObservation` raises
    │   ├── ShellError
    │   ├── ProcessError
    │   ├── FileError
    │   ├── BrowserError
    │   ├── KernelError
    │   ├── PluginError
    │   ├── PortError
    │   └── TransferError
    └── SandboxError       the place where actions run: engine, image, start, end

Codes never change their meaning. A code this version does not know becomes a plain `ActionError`
that names it in its data: class names are never taken from the wire.
"""

from __future__ import annotations

from typing import Any

from .action import (
    ActionCancelled,
    ActionError,
    ActionLost,
    ArgumentsTooLong,
    AttachedElsewhere,
    CommandNotFound,
    CommandStillRunning,
    DanglingLink,
    DiskFull,
    EditFailed,
    FileAlreadyExists,
    FileError,
    FileMissing,
    FileNotText,
    FileTooLarge,
    InputTooLong,
    InternalError,
    InvalidAction,
    InvalidCommand,
    InvalidKey,
    InvalidPattern,
    NoShell,
    NoSuchProcess,
    NotCancellable,
    NotExecutable,
    NothingRunning,
    PathIsADirectory,
    PathNotADirectory,
    PathUnreadable,
    ProcessError,
    ReadOnlyFileSystem,
    ShellError,
    ShellStartFailed,
    SignalRefused,
    SpawnFailed,
    StdinClosed,
    TransferError,
    UnknownUser,
    UnsafeArchive,
    UnsupportedAction,
    WatchRefused,
    WorkingDirectoryMissing,
)
from .base import TetherError, rebuilt
from .browser import (
    BrowserError,
    BrowserLimit,
    BrowserLost,
    BrowserNotStarted,
    BrowserStepFailed,
    NoSuchContext,
)
from .connection import (
    ControllerBusy,
    Fenced,
    FrameTooLarge,
    MalformedFrame,
    ProtocolError,
    RotationFailed,
    SecretChanged,
    SecretExpired,
    TicketInvalid,
    Unauthorized,
    UnexpectedFrame,
    VersionMismatch,
)
from .kernels import (
    KernelError,
    KernelLimit,
    KernelStartFailed,
    KernelUnresponsive,
    KernelWaitsForInput,
    NoSuchKernel,
)
from .plugins import PluginError, PluginInvalid, PluginLost, PluginMissing, PluginNotStarted
from .ports import PortError, PortRefused, PortTaken, PortUnprotected, PortUnusable
from .sandbox import (
    BuildFailed,
    EngineUnavailable,
    EnvironmentUnavailable,
    ImageNotFound,
    NameTaken,
    PushFailed,
    RuntimeClosed,
    SandboxError,
    SandboxGone,
    SandboxNotFound,
    SpecInvalid,
    StartFailed,
    StartTimeout,
    StateUnusable,
    StepFailed,
    TransportUnavailable,
    WrongArchitecture,
)

__all__ = [
    "ERRORS_BY_CODE",
    "ActionCancelled",
    "ActionError",
    "ActionLost",
    "ArgumentsTooLong",
    "AttachedElsewhere",
    "BrowserError",
    "BrowserLimit",
    "BrowserLost",
    "BrowserNotStarted",
    "BrowserStepFailed",
    "BuildFailed",
    "CommandNotFound",
    "CommandStillRunning",
    "ControllerBusy",
    "DanglingLink",
    "DiskFull",
    "EditFailed",
    "EngineUnavailable",
    "EnvironmentUnavailable",
    "Fenced",
    "FileAlreadyExists",
    "FileError",
    "FileMissing",
    "FileNotText",
    "FileTooLarge",
    "FrameTooLarge",
    "ImageNotFound",
    "InputTooLong",
    "InternalError",
    "InvalidAction",
    "InvalidCommand",
    "InvalidKey",
    "InvalidPattern",
    "KernelError",
    "KernelLimit",
    "KernelStartFailed",
    "KernelUnresponsive",
    "KernelWaitsForInput",
    "MalformedFrame",
    "NameTaken",
    "NoShell",
    "NoSuchContext",
    "NoSuchKernel",
    "NoSuchProcess",
    "NotCancellable",
    "NotExecutable",
    "NothingRunning",
    "PathIsADirectory",
    "PathNotADirectory",
    "PathUnreadable",
    "PluginError",
    "PluginInvalid",
    "PluginLost",
    "PluginMissing",
    "PluginNotStarted",
    "PortError",
    "PortRefused",
    "PortTaken",
    "PortUnprotected",
    "PortUnusable",
    "ProcessError",
    "ProtocolError",
    "PushFailed",
    "ReadOnlyFileSystem",
    "RotationFailed",
    "RuntimeClosed",
    "SandboxError",
    "SandboxGone",
    "SandboxNotFound",
    "SecretChanged",
    "SecretExpired",
    "ShellError",
    "ShellStartFailed",
    "SignalRefused",
    "SpawnFailed",
    "SpecInvalid",
    "StartFailed",
    "StartTimeout",
    "StateUnusable",
    "StdinClosed",
    "StepFailed",
    "TetherError",
    "TicketInvalid",
    "TransferError",
    "TransportUnavailable",
    "Unauthorized",
    "UnexpectedFrame",
    "UnknownUser",
    "UnsafeArchive",
    "UnsupportedAction",
    "VersionMismatch",
    "WatchRefused",
    "WorkingDirectoryMissing",
    "WrongArchitecture",
    "error_from_code",
]


def _tree(root: type[TetherError]) -> list[type[TetherError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _tree(child))]


ERRORS_BY_CODE: dict[str, type[TetherError]] = {kind.code: kind for kind in _tree(TetherError)}
"""The code table. Codes are unique; a test holds them to it."""


def error_from_code(
    code: str, message: str, hint: str | None = None, data: dict[str, Any] | None = None
) -> TetherError:
    """The error for a code off the wire; where no hint came it has its kind's own.

    For a code this version does not know it is a plain `ActionError`, with the code in
    `data["unknown_code"]`.
    """
    kind = ERRORS_BY_CODE.get(code)
    if kind is None:
        return rebuilt(ActionError, message, hint, {**(data or {}), "unknown_code": code})
    return rebuilt(kind, message, hint, dict(data or {}))
