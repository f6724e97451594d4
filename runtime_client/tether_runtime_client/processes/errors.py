"""Why a process could not be started.

    ProcessStartError
    ├── CommandNotFound           no such program
    ├── NotExecutable             it is there and cannot be run
    ├── WorkingDirectoryMissing   the working directory cannot be entered
    ├── UnknownUser               no such user or group here
    │   └── UserNotPermitted      it exists, and this client may not become it
    ├── ArgumentsTooLong          over the kernel's limit
    ├── InvalidArgument           a NUL byte, or nothing to run
    └── SpawnFailed               the kernel refused: limits, memory

`code` is stable and the same as in the protocol's table.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ProcessStartError(Exception):
    """The base: what happened (`message`), what to do next (`hint`), what is known (`data`)."""

    code: ClassVar[str] = "process_error"

    def __init__(self, message: str, hint: str = "", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class CommandNotFound(ProcessStartError):
    """No such program. `data`: `command`, and `path` where a PATH was searched."""

    code = "command_not_found"


class NotExecutable(ProcessStartError):
    """The program is there and cannot be executed. `data`: `command`."""

    code = "not_executable"


class WorkingDirectoryMissing(ProcessStartError):
    """The working directory does not exist or cannot be entered. `data`: `cwd`."""

    code = "working_directory_missing"


class UnknownUser(ProcessStartError):
    """No such user or group in this sandbox. `data`: `user`."""

    code = "unknown_user"


class UserNotPermitted(UnknownUser):
    """The user exists, and a client that is not root cannot become it. `data`: `user`."""


class ArgumentsTooLong(ProcessStartError):
    """Arguments and environment exceed the kernel's limit. `data`: `bytes`, `longest`."""

    code = "arguments_too_long"


class InvalidArgument(ProcessStartError):
    """Something no process can be given: a NUL byte, or no program at all."""

    code = "invalid_action"


class SpawnFailed(ProcessStartError):
    """The kernel refused to start a process (limits, memory). `data`: `errno`."""

    code = "spawn_failed"
