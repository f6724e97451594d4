"""Every error users meet, in one tree, and the table from stable code to class.

    TetherError
    ├── ProtocolError      the connection: version, secret, frames, roles
    ├── ActionError        an action that failed; what an `ErrorObservation` raises
    │   ├── ShellError
    │   ├── ProcessError
    │   ├── FileError
    │   └── TransferError
    └── SandboxError       the place where actions run: engine, image, start, end

Codes never change their meaning. A code this version does not know becomes a plain `ActionError`
that names it in its data: class names are never taken from the wire.
"""

from __future__ import annotations

from typing import Any, ClassVar


class TetherError(Exception):
    """The base: what happened (`message`), what to do next (`hint`), and what is known (`data`)."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.data = data

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.data)


def _rebuild(kind: type[TetherError], message: str, hint: str, data: dict[str, Any]) -> TetherError:
    """Data that came over the wire may use any key, so it is no keyword argument here."""
    error = kind(message, hint=hint)
    error.data = data
    return error


class ProtocolError(TetherError):
    """Something is wrong with the connection itself; it is closed."""

    code = "protocol_error"


class VersionMismatch(ProtocolError):
    """The two ends speak different protocol versions."""

    code = "version_mismatch"
    default_hint = "Build the image again with the server's version of Tether (`runtime-build`)"


class Unauthorized(ProtocolError):
    """The other end does not know the secret of this sandbox."""

    code = "unauthorized"
    default_hint = "Attach by the sandbox's name, so that its own secret is used"


class MalformedFrame(ProtocolError):
    """A frame that is not of the protocol."""

    code = "malformed_frame"


class UnexpectedFrame(ProtocolError):
    """A frame that is well-formed and out of order."""

    code = "unexpected_frame"


class FrameTooLarge(ProtocolError):
    """A message over the limit."""

    code = "frame_too_large"
    default_hint = "Send long content as an upload, and commands of that size as a script file"


class ControllerBusy(ProtocolError):
    """Another server controls this sandbox and answers."""

    code = "controller_busy"
    default_hint = "Attach with takeover=True to replace it, or as an operator beside it"


class Fenced(ProtocolError):
    """Another server has taken this sandbox over."""

    code = "fenced"
    default_hint = "This process no longer controls the sandbox; attach again to take it back"


class TicketInvalid(ProtocolError):
    """A bulk connection whose ticket is unknown, used or too old."""

    code = "ticket_invalid"


class ActionError(TetherError):
    """An action that failed."""

    code = "action_failed"


class InvalidAction(ActionError):
    """An action that is malformed: unknown type, unknown field, or a value out of bounds."""

    code = "invalid_action"


class UnsupportedAction(ActionError):
    """No handler is registered for this action type in this sandbox."""

    code = "unsupported_action"


class ActionLost(ActionError):
    """The runtime client died while the action ran. It was not run again."""

    code = "action_lost"
    default_hint = "Look at what it left behind before running it again"


class ActionCancelled(ActionError):
    """The client was told to stop while the action ran."""

    code = "action_cancelled"


class InternalError(ActionError):
    """A defect in the runtime client; the traceback is in its log."""

    code = "internal_error"
    default_hint = "This is a bug in Tether; the sandbox's log has the traceback"


class ShellError(ActionError):
    """The base of what goes wrong in a shell session."""

    code = "shell_error"


class CommandStillRunning(ShellError):
    """A plain command was sent while another runs in the session; nothing was typed into it."""

    code = "command_still_running"
    default_hint = "Poll it, type into it, interrupt it, reset the session, or use another session"


class NothingRunning(ShellError):
    """Input, an interrupt or a poll for a session in which nothing runs."""

    code = "nothing_running"


class InvalidCommand(ShellError):
    """A command no shell can be given, such as one with a NUL byte."""

    code = "invalid_command"


class InputTooLong(ShellError):
    """A line longer than a terminal in canonical mode takes (4,095 bytes)."""

    code = "input_too_long"
    default_hint = "Write it to a file and redirect the program's input from there"


class InvalidKey(ShellError):
    """A key name this terminal does not know."""

    code = "invalid_key"


class NoShell(ShellError):
    """Neither the image nor the runtime environment has a usable bash."""

    code = "no_shell"
    default_hint = "Use ExecAction, or build the image with an environment that brings a shell"


class ShellStartFailed(ShellError):
    """A bash was found and did not come up."""

    code = "shell_start_failed"


class ProcessError(ActionError):
    """The base of what goes wrong when a process is started."""

    code = "process_error"


class CommandNotFound(ProcessError):
    """No such program."""

    code = "command_not_found"


class NotExecutable(ProcessError):
    """The program is there and cannot be executed."""

    code = "not_executable"


class WorkingDirectoryMissing(ProcessError):
    """The working directory does not exist or cannot be entered."""

    code = "working_directory_missing"


class UnknownUser(ProcessError):
    """The user or group does not exist, or may not be switched to."""

    code = "unknown_user"


class ArgumentsTooLong(ProcessError):
    """Arguments and environment exceed the kernel's limit."""

    code = "arguments_too_long"
    default_hint = "Pass the data on standard input or in a file"


class SpawnFailed(ProcessError):
    """The kernel refused to start a process (limits, memory)."""

    code = "spawn_failed"


class NoSuchProcess(ProcessError):
    """No exec of that action id is running."""

    code = "no_such_process"


class FileError(ActionError):
    """The base of what goes wrong with a path; `data["path"]` names it."""

    code = "file_error"


class FileMissing(FileError):
    """There is nothing at the path."""

    code = "file_missing"


class PathIsADirectory(FileError):
    """A file was needed and a directory is there."""

    code = "is_a_directory"


class PathNotADirectory(FileError):
    """A directory was needed and something else is there."""

    code = "not_a_directory"


class PathUnreadable(FileError):
    """Permission denied."""

    code = "permission_denied"


class DanglingLink(FileError):
    """A symbolic link whose target does not exist."""

    code = "dangling_link"


class FileTooLarge(FileError):
    """More bytes than one action may carry."""

    code = "file_too_large"
    default_hint = "Ask for a range of lines, or download the file"


class FileNotText(FileError):
    """The file is not UTF-8 text."""

    code = "not_text"
    default_hint = "Read it with binary=True, or download it"


class FileAlreadyExists(FileError):
    """Something is there already, and was not overwritten."""

    code = "file_exists"


class DiskFull(FileError):
    """No space left (or a quota is used up)."""

    code = "disk_full"
    default_hint = "Free space in the sandbox and try again; nothing half-written was left"


class ReadOnlyFileSystem(FileError):
    """The file system does not take writes."""

    code = "read_only"


class EditFailed(FileError):
    """An edit that could not be applied: no match, several matches, out of range, no history."""

    code = "edit_failed"


class TransferError(ActionError):
    """A transfer that did not complete. Nothing half-written is under the final name."""

    code = "transfer_failed"


class UnsafeArchive(TransferError):
    """An archive member that would climb out of its destination or is of a refused type."""

    code = "unsafe_archive"


class SandboxError(TetherError):
    """The base of what goes wrong with the place where actions run."""

    code = "sandbox_error"


class EngineUnavailable(SandboxError):
    """No container engine answers."""

    code = "engine_unavailable"
    default_hint = "Start Docker (`tether doctor` says how), or use backend='local'"


class ImageNotFound(SandboxError):
    """The image is neither here nor can it be pulled."""

    code = "image_not_found"


class WrongArchitecture(SandboxError):
    """The image is for another processor than the runtime environment."""

    code = "wrong_architecture"


class BuildFailed(SandboxError):
    """The runtime client could not be put into the image; `data["log"]` has the last lines."""

    code = "build_failed"


class StepFailed(BuildFailed):
    """A step of a spec did not come to its end; `data` has its number, command and exit code."""

    code = "step_failed"


class SpecInvalid(SandboxError):
    """A spec of build steps cannot be used: the file, a source, a secret, or strict findings."""

    code = "spec_invalid"


class PushFailed(SandboxError):
    """A registry did not take an image.

    `data["reason"]` is `unauthorized`, `unreachable` or `refused`. The image itself is made.
    """

    code = "push_failed"


class EnvironmentUnavailable(SandboxError):
    """No runtime environment could be made or found."""

    code = "environment_unavailable"


class StartFailed(SandboxError):
    """The sandbox was started and its client did not come up; `data["log"]` has the last lines."""

    code = "start_failed"


class SandboxNotFound(SandboxError):
    """No sandbox of that name is known."""

    code = "sandbox_not_found"
    default_hint = "`tether ps` lists the sandboxes there are"


class NameTaken(SandboxError):
    """A sandbox of that name exists."""

    code = "name_taken"
    default_hint = "Choose another name, attach to it, or remove it with `tether rm`"


class SandboxGone(SandboxError):
    """The sandbox ended, so the action can have no answer."""

    code = "sandbox_gone"


class RuntimeClosed(SandboxError):
    """The runtime was used before it was started or after it was closed."""

    code = "runtime_closed"


class TransportUnavailable(SandboxError):
    """No transport reaches the client; `data["tried"]` has each one's reason."""

    code = "transport_unavailable"


def _tree(root: type[TetherError]) -> list[type[TetherError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _tree(child))]


ERRORS_BY_CODE: dict[str, type[TetherError]] = {kind.code: kind for kind in _tree(TetherError)}
"""The code table. Codes are unique; a test holds them to it."""


def error_from_code(
    code: str, message: str, hint: str = "", data: dict[str, Any] | None = None
) -> TetherError:
    """The error for a code off the wire.

    For a code this version does not know it is a plain `ActionError`, with the code in
    `data["unknown_code"]`.
    """
    kind = ERRORS_BY_CODE.get(code)
    if kind is None:
        return _rebuild(ActionError, message, hint, {**(data or {}), "unknown_code": code})
    return _rebuild(kind, message, hint, dict(data or {}))
