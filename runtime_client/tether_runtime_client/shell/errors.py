"""What the shell can refuse, each error with its data and the next step."""

from __future__ import annotations

from collections.abc import Sequence


class ShellError(Exception):
    """Base of everything this package raises on purpose."""


class ShellStartError(ShellError):
    """No shell could be brought up; the message says why and what to check."""


class NoShell(ShellStartError):
    """No usable bash was found; `tried` holds one (path, reason) for each candidate."""

    def __init__(self, tried: Sequence[tuple[str, str]]) -> None:
        self.tried = tuple(tried)
        reasons = "; ".join(f"{path}: {reason}" for path, reason in self.tried) or "none found"
        super().__init__(f"no usable bash ({reasons}); put bash >= 4.4 into the image")


class NoMeans(ShellStartError):
    """The sandbox allows too little for any shell: no fault of the bash that was to start."""


class NoRoom(NoMeans):
    """As many processes run as are allowed; the next may find room, when one of them has ended."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"cannot start {program}: as many processes run here as are allowed (the limit of "
            "pids, or ulimit -u)"
        )


class TooFewFiles(NoMeans):
    """A process may open fewer files than a shell needs beside those of its user."""

    def __init__(self, allowed: int, needed: int) -> None:
        super().__init__(
            f"a process may open {allowed} files here (ulimit -n), and a shell needs {needed}"
        )


class SessionClosed(ShellError):
    """The session was closed; open another one."""

    def __init__(self, session: str) -> None:
        self.session = session
        super().__init__(f"session {session!r} is closed; open a new one")


class CommandRunning(ShellError):
    """A command was sent while another one runs in the session. It was not typed into it."""

    def __init__(self, session: str, command: str, pid: int, foreground: Sequence[str]) -> None:
        self.session = session
        self.command = command
        self.pid = pid
        self.foreground = tuple(foreground)
        names = ", ".join(self.foreground) or "the shell itself"
        super().__init__(
            f"session {session!r} is still running {_short(command)!r} (in front: {names}); "
            "poll it, send it input, interrupt it, or use another session"
        )


class CommandInvalid(ShellError, ValueError):
    """The command, its directory or its variables cannot be handed to a shell at all."""


class NoForeground(ShellError):
    """Input or a key was sent while no command runs, so nothing could read it."""

    def __init__(self, session: str) -> None:
        self.session = session
        super().__init__(f"no command runs in session {session!r}; start one before typing into it")


class InputTooLong(ShellError, ValueError):
    """A line is longer than a terminal in line mode takes; the kernel would cut it silently."""

    def __init__(self, length: int, limit: int) -> None:
        self.length = length
        self.limit = limit
        super().__init__(
            f"a line of {length} bytes does not fit into a terminal in line mode "
            f"(at most {limit}); write it to a file, or send shorter lines"
        )


class UnknownKey(ShellError, ValueError):
    """A key name that is not in the table of `keys.py`."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"unknown key {key!r}; use names such as C-c, Enter, Tab, Escape, Up, F1")


def _short(command: str, limit: int = 60) -> str:
    return command if len(command) <= limit else command[: limit - 1] + "…"
