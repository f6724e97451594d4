"""What the shell refuses, as the protocol's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import shell as core
from ..protocol import errors as e


@contextmanager
def shell_errors() -> Iterator[None]:
    """Raise the shell's errors as the protocol's."""
    try:
        yield
    except core.CommandRunning as problem:
        raise e.CommandStillRunning(
            f"session {problem.session!r} is still running a command",
            command=problem.command,
            session=problem.session,
            pid=problem.pid,
            foreground=list(problem.foreground),
        ) from None
    except core.NoForeground as problem:
        raise e.NothingRunning(str(problem)) from None
    except core.InputTooLong as problem:
        raise e.InputTooLong(str(problem), length=problem.length, limit=problem.limit) from None
    except core.UnknownKey as problem:
        raise e.InvalidKey(f"there is no key {problem.key!r}") from None
    except core.CommandInvalid as problem:
        raise e.InvalidCommand(str(problem)) from None
    except core.NoShell as problem:
        raise e.NoShell(str(problem)) from None
    except core.NoMeans as problem:
        hint = "Give the sandbox a higher limit, or end what runs in it"
        raise e.ShellStartFailed(str(problem), hint=hint) from None
    except core.ShellError as problem:
        raise e.ShellStartFailed(str(problem)) from None
