"""What keeps a process from starting, as the error users meet."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..protocol import errors as e


@contextmanager
def spawn_errors(argv: Sequence[str], cwd: str) -> Iterator[None]:
    """Raise what `subprocess.Popen` raises as a `ProcessError`."""
    try:
        yield
    except ValueError as problem:
        raise e.InvalidCommand(f"this cannot be a command: {problem}") from None
    except subprocess.SubprocessError as problem:
        raise e.SpawnFailed(f"{argv[0]} could not be started: {problem}") from problem
    except OSError as problem:
        raise _spawn_error(problem, argv[0], cwd) from None


def _spawn_error(problem: OSError, program: str, cwd: str) -> e.ProcessError:
    if problem.filename == cwd:
        return e.WorkingDirectoryMissing(
            f"{cwd} cannot be the working directory: {problem.strerror}", cwd=cwd
        )
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        if "/" in program and os.path.exists(os.path.join(cwd, program)):
            return e.NotExecutable(f"the interpreter that {program} names is missing")
        return e.CommandNotFound(f"there is no program {program!r}", command=program)
    if problem.errno in (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR):
        return e.NotExecutable(f"{program} cannot be executed: {problem.strerror}")
    if problem.errno == errno.E2BIG:
        return e.ArgumentsTooLong("arguments and environment exceed the kernel's limit")
    return e.SpawnFailed(f"{program} could not be started: {problem.strerror}")
