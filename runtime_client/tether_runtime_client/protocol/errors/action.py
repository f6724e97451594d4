"""An action that failed: what an `ErrorObservation` raises."""

from __future__ import annotations

from .base import TetherError


class ActionError(TetherError):
    """An action that failed."""

    code = "action_failed"


class InvalidAction(ActionError):
    """An action that is malformed: unknown type, unknown field, or a value out of bounds."""

    code = "invalid_action"
    default_hint = "Correct it; docs/protocol.md lists the fields of each action"


class UnsupportedAction(ActionError):
    """No handler is registered for this action type in this sandbox."""

    code = "unsupported_action"
    default_hint = "Build the image again with the server's version of Tether (`runtime-build`)"


class ActionLost(ActionError):
    """The runtime client died while the action ran. It was not run again.

    `data` has the end of its output (`partial`), how the client died where that is known
    (`previous_end`), and how many processes were killed for want of memory (`oom_kills`).
    """

    code = "action_lost"
    default_hint = "Look at what it left behind before running it again"


class ActionCancelled(ActionError):
    """The action was cancelled, or the client was told to stop while it ran."""

    code = "action_cancelled"
    default_hint = "What it did until then is done: look at that before running it again"


class NotCancellable(ActionError):
    """No action of that id is running, or none that can be cancelled."""

    code = "not_cancellable"
    default_hint = (
        "Commands are ended by CmdInterruptAction and SessionResetAction, execs by ExecSignalAction"
    )


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
    default_hint = "Check the session's name; run a command in it first"


class InvalidCommand(ShellError):
    """A command no shell can be given, such as one with a NUL byte."""

    code = "invalid_command"
    default_hint = "Correct it; nothing of it was run"


class InputTooLong(ShellError):
    """A line longer than a terminal in canonical mode takes (4,095 bytes)."""

    code = "input_too_long"
    default_hint = "Write it to a file and redirect the program's input from there"


class InvalidKey(ShellError):
    """A key name this terminal does not know."""

    code = "invalid_key"
    default_hint = (
        "A key is one character, such a one with control (C-c) or meta (M-x), or Enter, Tab, "
        "Backtab, Escape, Space, Backspace, Delete, Insert, Up, Down, Left, Right, Home, End, "
        "PageUp, PageDown, F1 to F12; words are typed by text="
    )


class NoShell(ShellError):
    """Neither the image nor the runtime environment has a usable bash."""

    code = "no_shell"
    default_hint = "Use ExecAction, or build the image with an environment that brings a shell"


class ShellStartFailed(ShellError):
    """A bash was found and did not come up."""

    code = "shell_start_failed"
    default_hint = "Look at the image's bash and its startup files; ExecAction needs no shell"


class ProcessError(ActionError):
    """The base of what goes wrong when a process is started."""

    code = "process_error"


class CommandNotFound(ProcessError):
    """No such program."""

    code = "command_not_found"
    default_hint = "Check its name and PATH, or install it"


class NotExecutable(ProcessError):
    """The program is there and cannot be executed."""

    code = "not_executable"
    default_hint = "Give it the right to be executed (chmod +x), or run it by its interpreter"


class WorkingDirectoryMissing(ProcessError):
    """The working directory does not exist or cannot be entered."""

    code = "working_directory_missing"
    default_hint = "Make it first, or choose another `cwd`"


class UnknownUser(ProcessError):
    """The user or group does not exist, or may not be switched to."""

    code = "unknown_user"
    default_hint = "Use one that the sandbox has, or numbers as in 1000:1000"


class ArgumentsTooLong(ProcessError):
    """Arguments and environment exceed the kernel's limit."""

    code = "arguments_too_long"
    default_hint = "Pass the data on standard input or in a file"


class SpawnFailed(ProcessError):
    """The kernel refused to start a process (limits, memory)."""

    code = "spawn_failed"
    default_hint = "End some processes, or raise the sandbox's limits"


class NoSuchProcess(ProcessError):
    """No exec of that action id is running, or no process of that pid in a session."""

    code = "no_such_process"
    default_hint = "`runtime.processes()` and `tether exec NAME --list` tell which there are"


class StdinClosed(ProcessError):
    """The process takes no more input: it has ended or closed it, its end was told before, or it
    was started without one.
    """

    code = "stdin_closed"
    default_hint = "What it has read it keeps; start another to give it more"


class AttachedElsewhere(ProcessError):
    """Another caller has connected to the exec, which runs on."""

    code = "attached_elsewhere"
    default_hint = "Connect to it again with `runtime.process(id)` to take it back"


class SignalRefused(ProcessError):
    """The process may not be signalled: it is another user's."""

    code = "signal_refused"
    default_hint = "Signal it as that user, or as root"


class FileError(ActionError):
    """The base of what goes wrong with a path; `data["path"]` names it."""

    code = "file_error"
    default_hint = "Look at it with a command, such as `ls -ld`"


class FileMissing(FileError):
    """There is nothing at the path."""

    code = "file_missing"
    default_hint = "Check the path; list the directory to see what is there"


class PathIsADirectory(FileError):
    """A file was needed and a directory is there."""

    code = "is_a_directory"
    default_hint = "List it, or name a file in it"


class PathNotADirectory(FileError):
    """A directory was needed and something else is there."""

    code = "not_a_directory"
    default_hint = "Check the path: one of its parts is a file"


class PathUnreadable(FileError):
    """Permission denied."""

    code = "permission_denied"
    default_hint = "Change its mode or owner, or use a sandbox whose client has the right to it"


class DanglingLink(FileError):
    """A symbolic link whose target does not exist."""

    code = "dangling_link"
    default_hint = "Make its target, or remove the link first"


class FileTooLarge(FileError):
    """More bytes than one action may carry."""

    code = "file_too_large"
    default_hint = "Ask for a range of lines or bytes, or download the file"


class FileNotText(FileError):
    """The file is not UTF-8 text."""

    code = "not_text"
    default_hint = "Read it with binary=True, name its encoding, or download it"


class FileAlreadyExists(FileError):
    """Something is there already, and was not overwritten."""

    code = "file_exists"
    default_hint = "Edit it, or choose another name"


class DiskFull(FileError):
    """No space left (or a quota is used up)."""

    code = "disk_full"
    default_hint = "Free space in the sandbox and try again; nothing half-written was left"


class ReadOnlyFileSystem(FileError):
    """The file system does not take writes."""

    code = "read_only"
    default_hint = "Write to another place, such as the working directory or /tmp"


class EditFailed(FileError):
    """An edit that could not be applied: no match, several matches, out of range, no history."""

    code = "edit_failed"
    default_hint = "View the file, and give the edit again"


class InvalidPattern(FileError):
    """A regular expression or a glob that means nothing; `message` says where."""

    code = "invalid_pattern"
    default_hint = "Correct it, or search for the text itself with fixed=True"


class WatchRefused(FileError):
    """The kernel has no more watches for this user (fs.inotify limits)."""

    code = "watch_refused"
    default_hint = "Watch fewer folders, or raise fs.inotify.max_user_watches on the host"


class TransferError(ActionError):
    """A transfer that did not complete. Nothing half-written is under the final name."""

    code = "transfer_failed"
    default_hint = "Nothing half-written was left: try again"


class UnsafeArchive(TransferError):
    """An archive member that would climb out of its destination or is of a refused type."""

    code = "unsafe_archive"
    default_hint = (
        "Leave out what the message names (`exclude`), or do not trust where it comes from"
    )
