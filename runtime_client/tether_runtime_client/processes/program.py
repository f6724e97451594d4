"""Before the start: what is to be run, and whether it can be. After a failure: why not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence

from .errors import (
    ArgumentsTooLong,
    CommandNotFound,
    InvalidArgument,
    NotExecutable,
    ProcessStartError,
    SpawnFailed,
    UserNotPermitted,
    WorkingDirectoryMissing,
)

#: Where programs are looked for when the environment has no PATH.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_LIMITS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def argument_list(command: Sequence[str] | str, shell: Sequence[str]) -> list[str]:
    """The arguments to run: `command` itself, or `shell` with the text. Raises InvalidArgument."""
    argv = [*shell, command] if isinstance(command, str) else list(command)
    if not argv or not argv[0]:
        raise InvalidArgument("there is no program to run", "Give a program and its arguments")
    return argv


def check_strings(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Refuse what the kernel's strings cannot hold. Raises InvalidArgument."""
    for text in argv:
        _check_string(text, "an argument")
    for name, value in env.items():
        _check_string(f"{name}={value}", f"the environment variable {name!r}")
        if not name or "=" in name:
            raise InvalidArgument(f"{name!r} cannot be the name of an environment variable")


def check_folder(cwd: str) -> None:
    """Refuse a working directory that is none. Raises WorkingDirectoryMissing."""
    try:
        mode = os.stat(cwd).st_mode
    except (OSError, ValueError) as error:
        raise no_folder(cwd, error) from error
    if not stat.S_ISDIR(mode):
        raise no_folder(cwd, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))


def find_program(name: str, path: str, cwd: str | None) -> str:
    """Where `name` is, by PATH as the process will have it. A name with a slash is a path.

    Raises CommandNotFound, or NotExecutable when only files that cannot be run have that name.
    """
    if "/" in name:
        return name
    refused = None
    for folder in path.split(":"):
        candidate = os.path.join(folder or ".", name)
        seen_from_here = os.path.join(cwd or ".", candidate)
        if os.path.isfile(seen_from_here):
            if os.access(seen_from_here, os.X_OK):
                return candidate
            refused = candidate
    if refused is not None:
        raise NotExecutable(
            f"{refused} may not be executed", f"Try `chmod +x {refused}`", command=name
        )
    raise CommandNotFound(
        f"there is no program {name!r} on PATH",
        f"Install it, give its full path, or extend PATH (now {path})",
        command=name,
        path=path,
    )


def explain(
    error: OSError, program: str, argv: Sequence[str], env: Mapping[str, str], cwd: str | None
) -> ProcessStartError:
    """What the kernel's refusal to start `program` means."""
    if error.errno == errno.E2BIG:
        return _too_long(argv, env)
    if error.errno in _LIMITS:
        return spawn_failed(error)
    if error.errno in (errno.EPERM, errno.EINVAL):  # of setuid and its kin; exec and chdir: EACCES
        return UserNotPermitted(
            f"this sandbox does not let its client become that user ({error.strerror})",
            "Run it as the client's own user, or give the sandbox CAP_SETUID and CAP_SETGID",
        )
    if cwd is not None and error.filename == cwd:
        return no_folder(cwd, error)
    return _about_program(error, os.path.join(cwd or "", program), argv[0])


def no_folder(cwd: str, error: Exception) -> WorkingDirectoryMissing:
    """The error for a working directory that cannot be entered."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    return WorkingDirectoryMissing(
        f"the working directory {cwd!r} cannot be entered: {why}",
        "Make it first, or choose another `cwd`",
        cwd=cwd,
    )


def spawn_failed(error: OSError) -> SpawnFailed:
    """The error for a limit that was hit."""
    return SpawnFailed(
        f"the kernel refused to start another process: {error.strerror}",
        "End some processes, or raise the sandbox's limits (pids, memory, open files)",
        errno=error.errno,
    )


def _about_program(error: OSError, path: str, name: str) -> ProcessStartError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
        if not os.path.exists(path):
            return CommandNotFound(
                f"there is no program at {name!r}", "Check the path, or install it", command=name
            )
        what = "the interpreter or loader that it names does not exist"
        hint = "Check its `#!` line; a binary may be built for another C library"
    elif error.errno == errno.ENOEXEC:
        what = "it is no program for this machine, and no script with a `#!` line"
        hint = "Run it through its interpreter, or build it for this machine"
    elif error.errno == errno.ETXTBSY:
        what, hint = "it is open for writing", "Close it first"
    elif os.path.isdir(path):
        what, hint = "it is a directory", "Name the program inside it"
    else:
        what, hint = error.strerror or str(error), f"Try `chmod +x {name}`, or another user"
    return NotExecutable(f"{name!r} cannot be executed: {what}", hint, command=name)


def _too_long(argv: Sequence[str], env: Mapping[str, str]) -> ArgumentsTooLong:
    sizes = [len(os.fsencode(text)) + 1 for text in argv]
    sizes += [len(os.fsencode(name + value)) + 2 for name, value in env.items()]
    return ArgumentsTooLong(
        f"arguments and environment are {sum(sizes)} bytes, the longest {max(sizes)}: "
        "more than this kernel takes (usually 2 MiB in all and 128 KiB each)",
        "Pass the data on standard input or in a file",
        bytes=sum(sizes),
        longest=max(sizes),
    )


def _check_string(text: str, what: str) -> None:
    if "\0" in text:
        raise InvalidArgument(
            f"{what} has a NUL byte, which no process can be given", "Pass it on standard input"
        )
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} cannot be encoded: {error.reason}") from error
